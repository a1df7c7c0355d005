//! Login configurations: the files that `java.security.auth.login.config` names (reference: the JDK's `ConfigFile`
//! and the `StreamTokenizer` below it).
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_bob="secret";
//! };
//! ```
//!
//! Errors never quote the file: what stands in the wrong place may be a password.

mod token;

use self::token::{Kind, Tokens};
use crate::secret::Secret;

/// What is wrong with a file, and in which line; the first is 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct JaasError {
    /// The line.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jaas {
    sections: Vec<(String, Vec<Module>)>,
}

/// One login module of a section, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its class.
    pub class: String,
    /// What its success or failure means for the whole.
    pub flag: Flag,
    options: Vec<(String, Secret)>,
}

/// What a module's success or failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// It must succeed.
    Required,
    /// It must succeed, and nothing behind it is tried when it does not.
    Requisite,
    /// When it succeeds, nothing behind it is tried.
    Sufficient,
    /// It need not succeed.
    Optional,
}

/// How large a file may be.
pub const FILE_BYTES_MAX: usize = 1 << 20;

impl Jaas {
    /// Reads a file. `property` gives the value of a system property, for `${name}` in values.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing of the file counts then.
    pub fn parse(text: &[u8], property: &dyn Fn(&str) -> Option<String>) -> Result<Self, JaasError> {
        if text.len() > FILE_BYTES_MAX {
            let problem = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len());
            return Err(JaasError { line: 1, problem });
        }
        let text = String::from_utf8_lossy(text);
        let mut reading = Reading { tokens: Tokens::of(&text), property };
        let mut read = Self::default();
        while reading.tokens.next_kind() != Kind::End {
            let line = reading.tokens.line();
            let (name, modules) = reading.section()?;
            if read.sections.iter().any(|(one, _)| *one == name) {
                return Err(JaasError { line, problem: format!("the section {name} is there twice") });
            }
            read.sections.push((name, modules));
        }
        Ok(read)
    }

    /// The modules of a section. None where it is missing, or empty.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&[Module]> {
        let (_, modules) = self.sections.iter().find(|(one, _)| one == name)?;
        Some(modules.as_slice()).filter(|modules| !modules.is_empty())
    }

    /// The names of all sections, for messages.
    #[must_use]
    pub fn names(&self) -> String {
        self.sections.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Module {
    /// An option's value.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&Secret> {
        self.options.iter().find(|(one, _)| one == name).map(|(_, value)| value)
    }

    /// An option's value that is no secret.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.option(name).and_then(|value| std::str::from_utf8(value.expose()).ok())
    }

    /// All options, each once.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value))
    }
}

struct Reading<'a> {
    tokens: Tokens<'a>,
    property: &'a dyn Fn(&str) -> Option<String>,
}

impl Reading<'_> {
    fn section(&mut self) -> Result<(String, Vec<Module>), JaasError> {
        let name = self.word("the name of a section")?;
        self.sign('{', &format!("behind the name of the section {name}"))?;
        let mut modules = Vec::new();
        while self.tokens.next_kind() != Kind::Sign('}') {
            modules.push(self.module(&name)?);
        }
        self.sign('}', "")?;
        self.sign(';', &format!("behind the section {name}"))?;
        Ok((name, modules))
    }

    fn module(&mut self, section: &str) -> Result<Module, JaasError> {
        let found = self.word(&format!("the class of a login module, or }}, in the section {section}"))?;
        // Behind a semicolon too many stands the rest of a password.
        let class = if found.contains('.') { found.as_str() } else { "a login module" };
        let line = self.tokens.line();
        let flag =
            self.word(&format!("a flag (required, requisite, sufficient, optional) behind {class}"))?;
        let flag = match flag.to_uppercase().as_str() {
            "REQUIRED" => Flag::Required,
            "REQUISITE" => Flag::Requisite,
            "SUFFICIENT" => Flag::Sufficient,
            "OPTIONAL" => Flag::Optional,
            _ => {
                let problem =
                    format!("the flag behind {class} must be required, requisite, sufficient or optional");
                return Err(JaasError { line, problem });
            }
        };
        let mut options: Vec<(String, Secret)> = Vec::new();
        while self.tokens.next_kind() != Kind::Sign(';') {
            let name = self.word(&format!("an option of {class}, or ;,"))?;
            // A name may be half of a password that lacks its quotes.
            self.sign('=', &format!("behind the name of an option of {class}"))?;
            let line = self.tokens.line();
            let value = self.word(&format!("the value of an option of {class}"))?;
            let value = self.expanded(value).map_err(|why| {
                // The property is not named: it may be a part of a password.
                JaasError { line, problem: format!("the value of the option {name} of {class} names {why}") }
            })?;
            options.retain(|(one, _)| *one != name);
            options.push((name, Secret::new(value)));
        }
        self.sign(';', "")?;
        Ok(Module { class: found, flag, options })
    }

    fn word(&mut self, expected: &str) -> Result<String, JaasError> {
        match self.tokens.next_kind() {
            Kind::Word | Kind::Quoted => Ok(self.tokens.take()),
            _ => Err(self.unexpected(expected)),
        }
    }

    fn sign(&mut self, sign: char, place: &str) -> Result<(), JaasError> {
        if self.tokens.next_kind() == Kind::Sign(sign) {
            self.tokens.take();
            return Ok(());
        }
        Err(self.unexpected(&format!("{sign} {place}")))
    }

    fn unexpected(&self, expected: &str) -> JaasError {
        let found = match self.tokens.next_kind() {
            Kind::End => "the end of the file",
            Kind::Number => "something that begins with a digit, and must be in double quotes",
            Kind::Apostrophes => "something in single quotes, which must be double quotes",
            Kind::Word | Kind::Quoted => "a word",
            Kind::Sign(_) => "something else",
        };
        let expected = expected.trim_end();
        JaasError {
            line: self.tokens.line(),
            problem: format!("{expected} is expected, and {found} is there"),
        }
    }

    /// A value with the properties it names.
    fn expanded(&self, value: String) -> Result<String, &'static str> {
        if value.is_empty() {
            return Ok(value);
        }
        let expanded =
            expand(&value, self.property).map_err(|_| "a property that is not set; $ and { begin one")?;
        if expanded.is_empty() { Err("a property that is empty") } else { Ok(expanded) }
    }
}

/// Replaces `${name}` by a property and `${/}` by a slash; `${{…}}` stays (reference: the JDK's `PropertyExpander`).
///
/// # Errors
/// A property that is not set.
pub fn expand(value: &str, property: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        if after.starts_with('{') {
            let Some((inside, behind)) = after.split_once("}}") else {
                expanded.push_str("${");
                expanded.push_str(after);
                return Ok(expanded);
            };
            expanded.push_str(&format!("${{{inside}}}}}"));
            rest = behind;
            continue;
        }
        let Some((name, behind)) = after.split_once('}') else {
            expanded.push_str("${");
            expanded.push_str(after);
            return Ok(expanded);
        };
        match name {
            "/" => expanded.push('/'),
            name => expanded.push_str(
                &property(name)
                    .ok_or_else(|| format!("the property {name} is not set; give it with -D{name}="))?,
            ),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(name: &str) -> Option<String> {
        match name {
            "home" => Some("/home/zk".into()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<Jaas, JaasError> {
        Jaas::parse(text.as_bytes(), &property)
    }

    /// The options of the section `S`'s only module.
    #[track_caller]
    fn check(options: &str, expected: &[(&str, &str)]) {
        let jaas =
            parse(&format!("S {{ m required {options}; }};")).unwrap_or_else(|e| panic!("{options}: {e}"));
        let [module] = jaas.section("S").expect("the section") else { panic!("one module") };
        let found: Vec<_> =
            module.options().map(|(name, value)| (name, String::from_utf8_lossy(value.expose()))).collect();
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).into())).collect();
        assert_eq!(found, expected, "{options}");
    }

    #[test]
    fn sections_have_modules_and_modules_have_options() {
        let jaas = parse(
            "// a comment\nServer {\n  a.b.C required x=\"1\" y=z;\n  /* another\n   */ d$e-f_* OPTIONAL;\n};\n\"Two\" { m Sufficient; };Three{};",
        )
        .expect("it is well formed");
        let [one, two] = jaas.section("Server").expect("it is there") else { panic!("two modules") };
        assert_eq!((one.class.as_str(), one.flag, one.text("y")), ("a.b.C", Flag::Required, Some("z")));
        assert_eq!((two.class.as_str(), two.flag), ("d$e-f_*", Flag::Optional));
        assert_eq!(jaas.section("Two").map(<[_]>::len), Some(1));
        assert!(jaas.section("Three").is_none() && jaas.section("Four").is_none(), "empty, and missing");
        assert_eq!(jaas.names(), "Server, Two, Three");
        assert_eq!(parse("").expect("an empty file"), Jaas::default());
    }

    /// Each of these was read by the `ConfigFile` of a JDK 17.
    #[test]
    fn values_are_read_as_the_jdk_reads_them() {
        check(r#"a="b c""#, &[("a", "b c")]);
        check(r#"a="x\"y\\z\t\101\7q\477""#, &[("a", "x\"y\\z\tA\u{7}q\u{27}7")]);
        check("a=\"x\ny=z", &[("a", "x"), ("y", "z")]);
        check(r#"a="1//2/*3""#, &[("a", "1//2/*3")]);
        check("a=b.c-d_e$f*9", &[("a", "b.c-d_e$f*9")]);
        check("a=b//c\n", &[("a", "b")]);
        check("a=b/c\nd=e", &[("a", "b"), ("d", "e")]);
        check("a=x a=y", &[("a", "y")]);
        check(r#"user_bob="pässwörd Ω""#, &[("user_bob", "pässwörd Ω")]);
        check(r#"a="""#, &[("a", "")]);
        check("a=true useKeyTab=true", &[("a", "true"), ("useKeyTab", "true")]);
        check(r#""a b"=c"#, &[("a b", "c")]);
        check("a=\"x\\\ny\"", &[("a", "x\ny")]);
        check("a = b\r\n c=d\r e=é", &[("a", "b"), ("c", "d"), ("e", "é")]);
        check("/**/a=b/* c=d\n */ e=f", &[("a", "b"), ("e", "f")]);
    }

    #[test]
    fn properties_are_expanded_in_values() {
        check(r#"a="${home}${/}x""#, &[("a", "/home/zk/x")]);
        check(r#"a="${{home}} ${home""#, &[("a", "${{home}} ${home")]);
        check(r#"a="${{x}}y${home}""#, &[("a", "${{x}}y/home/zk")]);
        check(r#"a="$home {home} $""#, &[("a", "$home {home} $")]);
        for (value, says) in [("${canary}", "a property that is not set"), ("${empty}", "is empty")] {
            let error = parse(&format!("S {{\n m.M required\n a=\"{value}\"; }};")).expect_err(value);
            assert!(error.line == 3 && error.problem.contains(says), "{error}");
            assert!(
                error.problem.contains("the option a of m") && !error.problem.contains("canary"),
                "{error}"
            );
        }
    }

    #[test]
    fn errors_name_the_line_and_never_quote_the_file() {
        for (text, line, says) in [
            ("Server", 1, "{ behind the name of the section Server is expected, and the end of the file"),
            ("S {\n m\n}", 3, "a flag"),
            ("S {\n m.M perhaps canary=1; };", 2, "the flag behind m.M must be"),
            ("S {\n m.M required canary; };", 2, "= behind the name of an option of m.M"),
            ("S {\n m required a=b canary c; };", 2, "= behind the name of an option"),
            ("S { m required a=\n5canary; };", 2, "begins with a digit"),
            ("S { m required a='canary'; };", 1, "single quotes"),
            ("S { m required a=-canary; };", 1, "something else"),
            ("S { m.M required a=c@nary; };", 1, "an option of m.M, or ;, is expected"),
            ("S { m required a=b;canary c; };", 1, "the flag behind a login module must be"),
            ("S { m required a=b; }\nT {};", 2, "; behind the section S"),
            ("S { m required; };\nS { m required; };", 2, "the section S is there twice"),
            ("S { m required a=b", 1, "the end of the file"),
            ("{ };", 1, "the name of a section"),
            ("S { m required; };;", 1, "the name of a section"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.line == line && error.problem.contains(says), "{text}: {error}");
            assert!(!error.problem.contains("canary"), "{error}");
        }
        let large = vec![b' '; FILE_BYTES_MAX + 1];
        assert!(Jaas::parse(&large, &property).is_err());
    }

    #[test]
    fn options_do_not_show_their_values() {
        let jaas = parse("S { m required user_bob=\"canary\"; };").expect("it is well formed");
        assert!(!format!("{jaas:?}").contains("canary"), "{jaas:?}");
    }

    #[test]
    fn any_text_parses_or_fails_without_panic() {
        let mut seed = 7u32;
        for _ in 0..5000 {
            let text: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let alphabet = b"Sm {};=\"'\\/*\n\r-.09$ax\xc3\xa9";
                    alphabet[(seed >> 24) as usize % alphabet.len()]
                })
                .collect();
            let _ = Jaas::parse(&text, &property);
        }
    }
}
