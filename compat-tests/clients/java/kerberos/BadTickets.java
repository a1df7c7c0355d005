import java.security.PrivilegedExceptionAction;
import java.util.Date;
import java.util.Set;
import javax.security.auth.Subject;
import javax.security.auth.kerberos.KerberosTicket;
import javax.security.auth.login.LoginContext;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.Oid;

/**
 * Gets tickets for services by their principals, whether or not they are valid by this clock, and shows what a server
 * answers to each. Arguments: host, port, principals.
 */
public class BadTickets {
    /** What a login has brought, as if it were valid for a day from now: nobody but this JVM is told so. */
    static Subject believed(Subject real) {
        long now = System.currentTimeMillis();
        Set<Object> tickets = new java.util.HashSet<>();
        for (KerberosTicket one : real.getPrivateCredentials(KerberosTicket.class)) {
            tickets.add(new KerberosTicket(one.getEncoded(), one.getClient(), one.getServer(), one.getSessionKey().getEncoded(),
                one.getSessionKeyType(), one.getFlags(), new Date(now), new Date(now), new Date(now + 86_400_000), null, null));
        }
        return new Subject(false, real.getPrincipals(), Set.of(), tickets);
    }

    static byte[] token(String principal) throws Exception {
        GSSManager manager = GSSManager.getInstance();
        Oid kerberos = new Oid("1.2.840.113554.1.2.2");
        GSSName name = manager.createName(principal, new Oid("1.2.840.113554.1.2.2.1"));
        GSSContext context = manager.createContext(name, kerberos, null, GSSContext.DEFAULT_LIFETIME);
        context.requestMutualAuth(false);
        return context.initSecContext(new byte[0], 0, 0);
    }

    public static void main(String[] args) throws Exception {
        LoginContext login = new LoginContext("Client");
        login.login();
        // A ticket of the same second as the login does not say when it begins.
        Thread.sleep(1100);
        Subject.doAs(believed(login.getSubject()), (PrivilegedExceptionAction<Void>) () -> {
            for (int n = 2; n < args.length; n++) {
                System.out.println(args[n]);
                try (Connection connection = new Connection(args[0], Integer.parseInt(args[1]))) {
                    connection.send("first", token(args[n]));
                    connection.who();
                }
            }
            return null;
        });
        System.exit(0);
    }
}
