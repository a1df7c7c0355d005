use oxkeeper::auth::kerberos;
use oxkeeper::config::krb5::Krb5Conf;

/// Kerberos: tokens and messages of a client, keytabs, krb5.conf. Whatever the bytes are, they are read or refused.
pub fn kerberos(input: &[u8]) {
    kerberos::read_as_everything(input);
    let _ = Krb5Conf::parse(&String::from_utf8_lossy(input));
}
