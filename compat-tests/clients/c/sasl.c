/* Logs in by DIGEST-MD5 with Cyrus SASL, the library below the C client, over a connection of its own. Arguments: host,
 * port, user, password. */
#include <arpa/inet.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char *user, *password;
static int sock;

static int simple(void *context, int id, const char **result, unsigned *length) {
    (void)context, (void)id;
    *result = user;
    if (length) *length = strlen(user);
    return SASL_OK;
}

static int secret(sasl_conn_t *connection, void *context, int id, sasl_secret_t **result) {
    static union { sasl_secret_t secret; char room[256]; } kept;
    (void)connection, (void)context, (void)id;
    kept.secret.len = strlen(password);
    memcpy(kept.secret.data, password, kept.secret.len + 1);
    *result = &kept.secret;
    return SASL_OK;
}

static int realm(void *context, int id, const char **available, const char **result) {
    (void)context, (void)id;
    *result = available && available[0] ? available[0] : "";
    return SASL_OK;
}

static void put(unsigned char **at, int value) {
    value = htonl(value);
    memcpy(*at, &value, 4);
    *at += 4;
}

static int whole(void *bytes, int length) {
    for (int got, all = 0; all < length; all += got)
        if ((got = recv(sock, (char *)bytes + all, length - all, 0)) <= 0) return 0;
    return 1;
}

/* Receives a frame; its length, or -1 at the end. */
static int frame(unsigned char *bytes, int room) {
    int length;
    if (!whole(&length, 4)) return -1;
    length = ntohl(length);
    return length < 0 || length > room || !whole(bytes, length) ? -1 : length;
}

/* Sends a token; the server's, with its length, or -1 and the code in its place. */
static int step(int xid, const char *token, unsigned length, char *answer, int room, int *code) {
    static unsigned char bytes[8192], *at;
    at = bytes;
    put(&at, 12 + length), put(&at, xid), put(&at, 102), put(&at, length);
    if (length) memcpy(at, token, length);
    send(sock, bytes, 16 + length, 0);
    int got = frame(bytes, sizeof bytes), size;
    *code = 1;
    if (got < 20) return -1;
    memcpy(code, bytes + 12, 4), *code = ntohl(*code);
    memcpy(&size, bytes + 16, 4), size = ntohl(size);
    if (*code || size < 0 || size > room) return -1;
    memcpy(answer, bytes + 20, size);
    return size;
}

int main(int count, char **arguments) {
    if (count < 5) return 2;
    user = arguments[3], password = arguments[4];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
    inet_pton(AF_INET, arguments[1], &address.sin_addr);
    struct timeval limit = {.tv_sec = 20};
    sock = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(sock, (struct sockaddr *)&address, sizeof address)) return 3;
    unsigned char hello[49] = {0}, *at = hello, bytes[1024];
    put(&at, 45), at += 12, put(&at, 10000), at += 8, put(&at, 16);
    send(sock, hello, sizeof hello, 0);
    if (frame(bytes, sizeof bytes) < 0) return 4;

    sasl_callback_t callbacks[] = {
        {SASL_CB_USER, (int (*)(void))simple, NULL},
        {SASL_CB_AUTHNAME, (int (*)(void))simple, NULL},
        {SASL_CB_PASS, (int (*)(void))secret, NULL},
        {SASL_CB_GETREALM, (int (*)(void))realm, NULL},
        {SASL_CB_LIST_END, NULL, NULL},
    };
    sasl_conn_t *connection;
    const char *token = NULL, *mechanism;
    unsigned length = 0;
    if (sasl_client_init(NULL) != SASL_OK) return 5;
    if (sasl_client_new("zookeeper", "zk-sasl-md5", NULL, NULL, callbacks, 0, &connection) != SASL_OK) return 6;
    int state = sasl_client_start(connection, "DIGEST-MD5", NULL, &token, &length, &mechanism);
    if (state != SASL_CONTINUE) return printf("no mechanism: %d\n", state), 7;
    char answer[4096];
    for (int xid = 1; xid < 9; xid++) {
        int code, size = step(xid, token ? token : "", length, answer, sizeof answer, &code);
        if (size < 0) return printf("%s: refused with %d\n", user, code), 0;
        if (state == SASL_OK) return printf("%s: complete\n", user), 0;
        state = sasl_client_step(connection, answer, size, NULL, &token, &length);
        if (state != SASL_OK && state != SASL_CONTINUE) return printf("%s: %d\n", user, state), 0;
        if (state == SASL_OK && !length) return printf("%s: proven on both sides\n", user), 0;
    }
    return printf("%s: no end\n", user), 0;
}
