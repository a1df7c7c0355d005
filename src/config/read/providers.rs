//! The part of reading that is about the schemes by which clients prove who they are (reference: `ProviderRegistry`,
//! `AuthenticationHelper`).

use std::collections::HashSet;

use super::{Reading, Result, comma_list};

impl Reading<'_> {
    /// The schemes with a provider.
    ///
    /// # Errors
    /// A class that is not known here. The reference goes on without a class that it cannot load, and lists that
    /// were to be guarded by its scheme are guarded by nothing.
    pub(super) fn auth_providers(&mut self) -> Result<HashSet<&'static str>> {
        let mut schemes = HashSet::from(["ip"]);
        if self.source.flag("DigestAuthenticationProvider.enabled", true) {
            schemes.insert("digest");
        }
        for (key, class) in self.source.properties_like("authProvider.*") {
            let name = class.strip_prefix("org.apache.zookeeper.server.auth.").unwrap_or_default();
            let scheme = match name {
                "DigestAuthenticationProvider" => "digest",
                "IPAuthenticationProvider" => "ip",
                "KeyAuthenticationProvider" => "key",
                "EnsembleAuthenticationProvider" => "ensemble",
                "SASLAuthenticationProvider" => "sasl",
                "X509AuthenticationProvider" => "x509",
                _ => {
                    let known = "Digest, IP, Key, Ensemble, SASL and X509";
                    return Err(self.source.wrong(
                        &key,
                        format!(
                            "the class is not known here, and no Java classes are run; there are the \
                             AuthenticationProviders {known} of org.apache.zookeeper.server.auth; remove the key"
                        ),
                    ));
                }
            };
            schemes.insert(scheme);
        }
        Ok(schemes)
    }

    pub(super) fn enforced_auth(&self, providers: &HashSet<&'static str>) -> Result<(bool, Vec<String>)> {
        let (enabled, schemes) = if self.source.flag("sessionRequireClientSASLAuth", false) {
            (true, vec!["sasl".to_owned()])
        } else {
            let schemes = self.source.property("enforce.auth.schemes").map(comma_list).unwrap_or_default();
            (self.source.flag("enforce.auth.enabled", false), schemes)
        };
        if enabled && schemes.is_empty() {
            return Err(self
                .source
                .missing("enforce.auth.schemes", "must be set when enforce.auth.enabled=true"));
        }
        match schemes.iter().find(|scheme| enabled && !providers.contains(scheme.as_str())) {
            Some(scheme) => {
                let problem =
                    format!("the scheme {scheme} has no provider; authProvider.1 may name its class");
                Err(self.source.missing("enforce.auth.schemes", problem))
            }
            None => Ok((enabled, schemes)),
        }
    }
}
