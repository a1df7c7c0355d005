use super::*;

const URI: &str = "zookeeper/zk-sasl-md5";

fn offer() -> DigestMd5 {
    let users =
        [("bob", "bobsecret"), ("super", "adminsecret"), ("josé", "päss"), ("Ωm", "Ωpw"), ("u@X", "xs")];
    let users = users.map(|(name, password)| (name.to_owned(), Secret::from(password)));
    DigestMd5::for_clients(Users::new(users, None), Naming::default())
}

/// A client's response to a challenge, to be spoiled.
struct Response {
    user: Vec<u8>,
    password: &'static str,
    fields: Vec<(&'static str, Option<Vec<u8>>)>,
    authzid: Option<&'static str>,
}

impl Response {
    fn of(user: &str, password: &'static str) -> Self {
        Self { user: user.into(), password, fields: Vec::new(), authzid: None }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, Some(value.into())));
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.fields.push((name, None));
        self
    }

    fn to(self, challenge: &[u8]) -> Vec<u8> {
        let challenge = Directives::parse(challenge, &["nonce"], &[]).expect("a challenge");
        let nonce = challenge.get("nonce").expect("a nonce").to_vec();
        let user = String::from_utf8_lossy(&self.user).into_owned();
        let field =
            |name: &str| self.fields.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
        let uri = field("digest-uri").flatten().unwrap_or_else(|| URI.into());
        let proof = Proof {
            user: &user,
            realm: "zk-sasl-md5",
            password: &self.password.into(),
            nonce: &nonce,
            cnonce: b"abc",
            authzid: self.authzid.map(str::as_bytes),
            uri: &String::from_utf8(uri).expect("text"),
        };
        let mut fields = vec![
            ("charset", b"utf-8".to_vec()),
            ("username", self.user.clone()),
            ("realm", b"zk-sasl-md5".to_vec()),
            ("nonce", nonce.clone()),
            ("nc", COUNT.to_vec()),
            ("cnonce", b"abc".to_vec()),
            ("digest-uri", URI.into()),
            ("response", proof.value("AUTHENTICATE").into_bytes()),
            ("qop", b"auth".to_vec()),
        ];
        fields.extend(self.authzid.map(|authzid| ("authzid", authzid.into())));
        for (name, value) in &self.fields {
            fields.retain(|(one, _)| one != name);
            fields.extend(value.clone().map(|value| (*name, value)));
        }
        let written = |(name, value): (&str, Vec<u8>)| {
            let value =
                if matches!(name, "charset" | "nc" | "qop" | "response") { value } else { quoted(&value) };
            [name.as_bytes(), b"=", &value].concat()
        };
        fields.into_iter().map(written).collect::<Vec<_>>().join(&b',')
    }
}

/// A new exchange, and its challenge.
fn challenged(first: &[u8]) -> (Box<dyn Exchange>, Vec<u8>) {
    let mut exchange = offer().begin();
    let Ok(Step::Challenge(challenge)) = exchange.step(first) else { panic!("a challenge comes first") };
    (exchange, challenge)
}

fn outcome(response: Response) -> Result<String, String> {
    let (mut exchange, challenge) = challenged(b"");
    match exchange.step(&response.to(&challenge)) {
        Ok(Step::Proven { authorization_id, .. }) => Ok(authorization_id),
        Ok(step) => panic!("{step:?}"),
        Err(failure) => Err(failure.0),
    }
}

/// RFC 2831 section 4.
#[test]
fn responses_are_those_of_the_rfc_s_example() {
    let proof = Proof {
        user: "chris",
        realm: "elwood.innosoft.com",
        password: &"secret".into(),
        nonce: b"OA6MG9tEQGm2hh",
        cnonce: b"OA6MHXh6VqTrRk",
        authzid: None,
        uri: "imap/elwood.innosoft.com",
    };
    assert_eq!(proof.value("AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7");
    assert_eq!(proof.value(""), "ea40f60335c427b5527b84dbabcdfffd");
}

#[test]
fn the_challenge_is_the_jdk_s_with_a_nonce_of_its_own() {
    let (_, challenge) = challenged(b"");
    let text = String::from_utf8(challenge.clone()).expect("text");
    let (before, rest) = text.split_once("nonce=\"").expect("a nonce");
    let (nonce, after) = rest.split_once('"').expect("a nonce");
    assert_eq!((before, after), ("realm=\"zk-sasl-md5\",", ",charset=utf-8,algorithm=md5-sess"));
    assert_eq!(STANDARD.decode(nonce).expect("base64").len(), NONCE_BYTES);
    assert_ne!(challenged(b"said first").1, challenge);
}

#[test]
fn who_knows_the_password_is_who_they_say() {
    for (user, password) in [("bob", "bobsecret"), ("josé", "päss"), ("Ωm", "Ωpw"), ("u@X", "xs")] {
        assert_eq!(outcome(Response::of(user, password)).as_deref(), Ok(user));
    }
    let (mut exchange, challenge) = challenged(b"");
    let step = exchange.step(&Response::of("bob", "bobsecret").to(&challenge)).expect("it is right");
    let Step::Proven { token: Some(token), .. } = step else { panic!("{step:?}") };
    assert!(token.starts_with(b"rspauth=") && token.len() == 40);
}

#[test]
fn what_proves_nothing_is_refused() {
    let bob = || Response::of("bob", "bobsecret");
    for (response, says) in [
        (Response::of("bob", "wrong"), "user \"bob\" is wrong"),
        (Response::of("bob", ""), "user \"bob\" is wrong"),
        (Response::of("nobody", ""), "no user \"nobody\""),
        (Response { user: b"jos\xe9".to_vec(), ..Response::of("", "p\u{e4}ss") }, "no user"),
        (bob().with("realm", "other"), "wrong realm"),
        (bob().without("realm"), "wrong realm"),
        (bob().with("nonce", "x"), "another challenge"),
        (bob().without("nonce"), "no nonce"),
        (bob().without("cnonce"), "no cnonce"),
        (bob().with("cnonce", "else"), "is wrong"),
        (bob().with("nonce-count", "2"), "nonce-count"),
        (bob().with("nonce-count", "x"), "nonce-count"),
        (bob().with("maxbuf", "x"), "maxbuf"),
        (bob().with("qop", "auth-int"), "wrong qop"),
        (bob().with("digest-uri", "zookeeper/other"), "wrong digest-uri"),
        (bob().without("digest-uri"), "wrong digest-uri"),
        (bob().with("charset", "UTF-8"), "wrong charset"),
        (bob().without("username"), "no username"),
        (bob().without("response"), "no response"),
        (bob().with("response", "00000000000000000000000000000000"), "is wrong"),
        (bob().with("response", "0"), "is wrong"),
    ] {
        let failure = outcome(response).expect_err(says);
        assert!(failure.contains(says), "{failure} {says}");
        assert!(!failure.contains("secret"), "{failure}");
    }
}

#[test]
fn what_the_jdk_passes_over_is_passed_over() {
    let bob = || Response::of("bob", "bobsecret");
    for response in [
        bob().with("nc", "00000002"),
        bob().without("nc"),
        bob().without("qop"),
        bob().without("charset"),
        bob().with("nonce-count", "1"),
        bob().with("maxbuf", "100"),
        bob().with("digest-uri", "ZooKeeper/ZK-sasl-md5"),
        bob().with("else", "what"),
        Response { authzid: Some("bob"), ..bob() },
        Response { authzid: Some(""), ..bob() },
        Response { authzid: Some("admin"), ..bob() },
    ] {
        assert_eq!(outcome(response).as_deref(), Ok("bob"));
    }
}

/// The reference takes whatever the client asks for where no rule gives it a name, `super` for instance.
#[test]
fn who_asks_to_be_another_is_not() {
    let other = Response { authzid: Some("super"), ..Response::of("u@X", "xs") };
    assert!(outcome(other).expect_err("nobody acts as super").contains("must not act as"));
}

#[test]
fn a_response_is_good_for_its_challenge_only() {
    let (mut one, challenge) = challenged(b"");
    let response = Response::of("bob", "bobsecret").to(&challenge);
    let (mut other, _) = challenged(b"");
    assert!(other.step(&response).is_err(), "replayed to another connection");
    assert!(matches!(one.step(&response), Ok(Step::Proven { .. })));
    assert!(one.step(&response).is_err(), "replayed to the same one");
    assert!(other.step(&response).is_err());
}

/// ZOOKEEPER-4839: what failed proves nothing later.
#[test]
fn nothing_is_proven_after_a_failure() {
    let (mut exchange, challenge) = challenged(b"");
    assert!(exchange.step(&Response::of("bob", "wrong").to(&challenge)).is_err());
    assert!(exchange.step(&Response::of("bob", "bobsecret").to(&challenge)).is_err());
    assert!(exchange.step(b"").is_err());
}

#[test]
fn a_token_has_at_most_4096_bytes() {
    let (mut exchange, challenge) = challenged(b"");
    let response = Response::of("bob", "bobsecret").to(&challenge);
    let padded = |size: usize| [&response, &b",x="[..], &vec![b'y'; size - response.len() - 3]].concat();
    assert!(exchange.step(&padded(4097)).expect_err("too large").0.contains("4097 bytes"));
    let (mut exchange, challenge) = challenged(b"");
    let response = Response::of("bob", "bobsecret").to(&challenge);
    let padded = [&response, &b",x="[..], &vec![b'y'; 4096 - response.len() - 3]].concat();
    assert!(exchange.step(&padded).is_ok());
    assert!(offer().begin().step(&[b'x'; 4097]).is_err());
}

#[test]
fn the_super_password_is_for_a_user_super_that_is_there() {
    let super_password = || Some(Secret::from("property"));
    let users =
        Users::new([("super".to_owned(), "file".into()), ("bob".to_owned(), "b".into())], super_password());
    assert_eq!(users.password_of("super"), Some(&"property".into()));
    assert_eq!(users.password_of("bob"), Some(&"b".into()));
    assert_eq!(Users::new([], super_password()).password_of("super"), None);
    assert!(!format!("{users:?}").contains("property"));
}

#[test]
fn any_token_is_taken_without_panic() {
    let mut seed = 7u32;
    for _ in 0..2000 {
        let (mut exchange, challenge) = challenged(b"");
        let mut response = Response::of("bob", "bobsecret").to(&challenge);
        for _ in 0..3 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % response.len();
            response[at] = (seed >> 16) as u8;
        }
        let _ = exchange.step(&response);
    }
}
