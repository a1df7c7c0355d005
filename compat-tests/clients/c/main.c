/* What the C client can ask. Arguments: the server's address, a file to make when the server may
 * be restarted, and a file that appears once it has been; then, for a library that has them, `ssl` and a list of files
 * as the library wants it, or `sasl`, a mechanism, a host, a user (- for none) and a file with the password. With `probe` in place
 * of the first file it only tells whether it gets in. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define LIMIT_MS 20000
#define RESTART_MS 60000
/* A server of Java that speaks TLS takes its time after a start. */
#define SECURE_TIMEOUT_MS 24000

struct events {
    pthread_mutex_t lock;
    int connected, expired, count;
    char seen[16][128];
};

static const char *event_name(int type) {
    if (type == ZOO_CREATED_EVENT) return "created";
    if (type == ZOO_DELETED_EVENT) return "deleted";
    if (type == ZOO_CHANGED_EVENT) return "changed";
    if (type == ZOO_CHILD_EVENT) return "child";
    return "other";
}

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct events *events = context ? context : (struct events *)zoo_get_context(zh);
    pthread_mutex_lock(&events->lock);
    if (type == ZOO_SESSION_EVENT) {
        if (state == ZOO_CONNECTED_STATE) events->connected++;
        if (state == ZOO_EXPIRED_SESSION_STATE) events->expired++;
    } else if (events->count < 16) {
        snprintf(events->seen[events->count++], sizeof events->seen[0], "%s %s", event_name(type), path);
    }
    pthread_mutex_unlock(&events->lock);
}

/* Waits until a number of events, or of connections, has been seen. */
static void await(struct events *events, const int *number, int wanted) {
    for (int waited = 0; waited < LIMIT_MS; waited += 10) {
        pthread_mutex_lock(&events->lock);
        int enough = *number >= wanted;
        pthread_mutex_unlock(&events->lock);
        if (enough) return;
        usleep(10000);
    }
    printf("NEVER: %d of them\n", wanted);
}

static void print_events(struct events *events, int wanted) {
    await(events, &events->count, wanted);
    pthread_mutex_lock(&events->lock);
    for (int i = 0; i < events->count; i++) printf("  event: %s\n", events->seen[i]);
    events->count = 0;
    pthread_mutex_unlock(&events->lock);
}

static void show(const char *label, int code, const struct Stat *stat) {
    printf("%s -> %d %s", label, code, zerror(code));
    if (code == ZOK && stat)
        printf(" v=%d cv=%d av=%d kids=%d len=%d owned=%d", stat->version, stat->cversion, stat->aversion,
               stat->numChildren, stat->dataLength, stat->ephemeralOwner != 0);
    printf("\n");
}

static char **how;

static zhandle_t *begin(const char *address, struct events *events) {
    pthread_mutex_init(&events->lock, NULL);
    zhandle_t *zh = NULL;
    if (!how[0]) zh = zookeeper_init(address, watcher, 8000, NULL, events, 0);
#ifdef HAVE_OPENSSL_H
    if (how[0] && !strcmp(how[0], "ssl")) zh = zookeeper_init_ssl(address, how[1], watcher, SECURE_TIMEOUT_MS, NULL, events, 0);
#endif
#ifdef HAVE_CYRUS_SASL_H
    if (how[0] && !strcmp(how[0], "sasl")) {
        zoo_sasl_params_t params = {"zookeeper", how[2], how[1], NULL};
        if (sasl_client_init(NULL) != SASL_OK) exit(3);
        const char *user = strcmp(how[3], "-") ? how[3] : NULL;
        params.callbacks = zoo_sasl_make_basic_callbacks(user, how[2], how[4]);
        zh = zookeeper_init_sasl(address, watcher, SECURE_TIMEOUT_MS, NULL, events, 0, NULL, &params);
    }
#endif
    if (!zh) {
        printf("no handle\n");
        exit(1);
    }
    return zh;
}

static zhandle_t *connect_to(const char *address, struct events *events) {
    zhandle_t *zh = begin(address, events);
    await(events, &events->connected, 1);
    return zh;
}

/* Whether it gets in, which it may try for some seconds. */
static int probe(const char *address, struct events *events) {
    zhandle_t *zh = begin(address, events);
    int state = zoo_state(zh);
    for (int waited = 0; waited < 3000; waited += 10) {
        state = zoo_state(zh);
        if (state == ZOO_CONNECTED_STATE || state == ZOO_AUTH_FAILED_STATE) break;
        usleep(10000);
    }
    printf("%s\n", state == ZOO_CONNECTED_STATE ? "gets in" : state == ZOO_AUTH_FAILED_STATE ? "authentication failed" : "does not get in");
    zookeeper_close(zh);
    return 0;
}

static void create(zhandle_t *zh, const char *label, const char *path, int mode, int64_t ttl) {
    char made[128] = "";
    struct Stat stat;
    int code = zoo_create2_ttl(zh, path, "x", 1, &ZOO_OPEN_ACL_UNSAFE, mode, ttl, made, sizeof made, &stat);
    printf("%s: ", code == ZOK ? made : "-");
    show(label, code, &stat);
}

static void nodes(zhandle_t *zh) {
    struct Stat stat;
    char data[64];
    int length = sizeof data;
    create(zh, "root", "/c", ZOO_PERSISTENT, -1);
    create(zh, "persistent", "/c/p", ZOO_PERSISTENT, -1);
    create(zh, "again", "/c/p", ZOO_PERSISTENT, -1);
    create(zh, "ephemeral", "/c/e", ZOO_EPHEMERAL, -1);
    create(zh, "below an ephemeral", "/c/e/x", ZOO_PERSISTENT, -1);
    create(zh, "sequential", "/c/s-", ZOO_PERSISTENT_SEQUENTIAL, -1);
    create(zh, "both", "/c/es-", ZOO_EPHEMERAL_SEQUENTIAL, -1);
    create(zh, "container", "/c/container", ZOO_CONTAINER, -1);
    create(zh, "lifetime", "/c/ttl", ZOO_PERSISTENT_WITH_TTL, 3600000);
    create(zh, "no parent", "/c/none/x", ZOO_PERSISTENT, -1);
    show("set", zoo_set2(zh, "/c/p", "new", 3, 0, &stat), &stat);
    show("set with a stale version", zoo_set2(zh, "/c/p", "newer", 5, 0, &stat), &stat);
    int code = zoo_get(zh, "/c/p", 0, data, &length, &stat);
    printf("%.*s: ", code == ZOK ? length : 0, data);
    show("get", code, &stat);
    show("exists", zoo_exists(zh, "/c/none", 0, &stat), &stat);
    struct String_vector children = {0, NULL};
    code = zoo_get_children2(zh, "/c", 0, &children, &stat);
    show("children", code, &stat);
    printf("%d children\n", children.count);
    deallocate_String_vector(&children);
    show("delete with children", zoo_delete(zh, "/c", -1), NULL);
    show("delete nothing", zoo_delete(zh, "/c/none", -1), NULL);
}

static void multi(zhandle_t *zh) {
    char path[64];
    struct Stat stat;
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    memset(results, 0, sizeof results);
    zoo_create_op_init(&ops[0], "/c/m", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path);
    zoo_set_op_init(&ops[1], "/c/m", "2", 1, 0, &stat);
    zoo_check_op_init(&ops[2], "/c/m", 1);
    zoo_delete_op_init(&ops[3], "/c/m", 1);
    show("multi", zoo_multi(zh, 4, ops, results), NULL);
    for (int i = 0; i < 4; i++) printf("  part %d: %d\n", i, results[i].err);
    memset(results, 0, sizeof results);
    zoo_check_op_init(&ops[2], "/c/m", 9);
    show("failed multi", zoo_multi(zh, 4, ops, results), NULL);
    for (int i = 0; i < 4; i++) printf("  part %d: %d\n", i, results[i].err);
}

static void authenticated(int code, const void *done) {
    *(int *)done = code == ZOK ? 1 : 2;
}

static int by_text(const void *one, const void *other) {
    return strcmp(one, other);
}

/* Sorted: ids of one client come in an order that means nothing. */
static void print_acl(const struct ACL_vector *acl) {
    static char lines[8][256];
    int count = acl->count < 8 ? acl->count : 8;
    for (int i = 0; i < count; i++)
        snprintf(lines[i], sizeof lines[i], "%d %s:%s", acl->data[i].perms, acl->data[i].id.scheme, acl->data[i].id.id);
    qsort(lines, count, sizeof lines[0], by_text);
    for (int i = 0; i < count; i++) printf("  %s\n", lines[i]);
}

static void access_rights(zhandle_t *zh, zhandle_t *other) {
    volatile int done = 0;
    struct Stat stat;
    struct ACL_vector acl;
    char data[16];
    int length = sizeof data;
    zoo_add_auth(zh, "digest", "me:pw", 5, authenticated, (const void *)&done);
    for (int waited = 0; !done && waited < LIMIT_MS; waited += 10) usleep(10000);
    printf("auth -> %d\n", done);
    show("closed", zoo_create(zh, "/c/closed", "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), NULL);
    show("its list", zoo_get_acl(zh, "/c/closed", &acl, &stat), &stat);
    print_acl(&acl);
    deallocate_ACL_vector(&acl);
    show("another reads", zoo_get(other, "/c/closed", 0, data, &length, &stat), &stat);
    show("opened", zoo_set_acl(zh, "/c/closed", 0, &ZOO_READ_ACL_UNSAFE), NULL);
    length = sizeof data;
    show("another reads", zoo_get(other, "/c/closed", 0, data, &length, &stat), &stat);
    show("another writes", zoo_set(other, "/c/closed", "no", 2, -1), NULL);
}

static void watches(zhandle_t *zh, zhandle_t *other, struct events *events) {
    struct Stat stat;
    struct String_vector children = {0, NULL};
    char data[16];
    int length = sizeof data;
    show("watch data", zoo_wget(zh, "/c/p", watcher, events, data, &length, &stat), &stat);
    zoo_set(other, "/c/p", "w", 1, -1);
    print_events(events, 1);
    zoo_wexists(zh, "/c/new", watcher, events, &stat);
    zoo_create(other, "/c/new", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    print_events(events, 1);
    zoo_wget_children(zh, "/c/new", watcher, events, &children);
    zoo_create(other, "/c/new/child", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    print_events(events, 1);
    zoo_wexists(zh, "/c/new", watcher, events, &stat);
    show("remove a watch", zoo_remove_watches(zh, "/c/new", ZWATCHTYPE_ANY, watcher, events, 0), NULL);
    show("remove no watch", zoo_remove_watches(zh, "/c/none", ZWATCHTYPE_ANY, watcher, events, 0), NULL);
    zoo_set(other, "/c/new", "x", 1, -1);
    usleep(200000);
    printf("%d events of a removed watch\n", events->count - 0);
    events->count = 0;
}

int main(int argc, char **argv) {
    static struct events mine, others;
    struct Stat stat;
    char data[16];
    int length = sizeof data;
    if (argc < 4) return 2;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL may write to a connection that is closed already */
    how = argv + 4;
    zoo_set_debug_level(0);
    if (!strcmp(argv[2], "probe")) return probe(argv[1], &mine);
    zhandle_t *zh = connect_to(argv[1], &mine);
    zhandle_t *other = connect_to(argv[1], &others);
    nodes(zh);
    multi(zh);
    access_rights(zh, other);
    watches(zh, other, &mine);
    show("config", zoo_getconfig(zh, 0, data, &length, &stat), &stat);

    int64_t session = zoo_client_id(zh)->client_id;
    length = sizeof data;
    zoo_wget(zh, "/c/p", watcher, &mine, data, &length, &stat);
    zoo_wexists(zh, "/c/later", watcher, &mine, &stat);
    FILE *file = fopen(argv[2], "w");
    if (!file) return 3;
    fclose(file);
    for (int waited = 0; access(argv[3], F_OK); waited += 10) {
        if (waited > RESTART_MS) {
            fprintf(stderr, "the server was not restarted\n");
            return 1;
        }
        usleep(10000);
    }
    await(&mine, &mine.connected, 2);
    await(&others, &others.connected, 2);
    mine.count = 0; /* watchers also hear of the connection */
    printf("the same session: %d\n", session == zoo_client_id(zh)->client_id);
    zoo_set(other, "/c/p", "after", 5, -1);
    print_events(&mine, 1);
    zoo_create(other, "/c/later", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    print_events(&mine, 1);
    show("the ephemeral is still there", zoo_exists(other, "/c/e", 0, &stat), &stat);
    zookeeper_close(zh); /* says farewell, but does not wait for the answer */
    int code = ZOK;
    for (int waited = 0; code == ZOK && waited < LIMIT_MS; waited += 10) {
        code = zoo_exists(other, "/c/e", 0, &stat);
        if (code == ZOK) usleep(10000);
    }
    show("and goes with its session", code, &stat);
    zookeeper_close(other);
    return 0;
}
