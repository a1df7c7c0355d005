//! Rules of `security.auth_to_local`: `RULE:[n:format](regex)s/from/to/g` and `DEFAULT` (reference: `KerberosName`).

use regex::{Captures, Regex};

use super::Name;

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

/// Rules in their order: the first that applies to a name gives it its short name.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
enum Rule {
    /// Names of the default realm lose all but their first part.
    Default,
    Given(Given),
}

#[derive(Clone, Debug)]
struct Given {
    text: String,
    /// How many parts the name has, its realm not counted.
    parts: usize,
    format: Vec<Piece>,
    wanted: Option<Regex>,
    change: Option<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    from: Regex,
    to: Vec<Piece>,
    everywhere: bool,
}

/// Text, or the number of a part or of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(usize),
}

impl Default for Rules {
    fn default() -> Self {
        Self(vec![Rule::Default])
    }
}

impl Rules {
    /// Reads rules, one behind the other.
    ///
    /// # Errors
    /// Where they are wrong, and how. The reference starts with wrong rules, and its first client that proves a
    /// name fails.
    pub fn parse(text: &str) -> Result<Self, BadRule> {
        let mut rules = Vec::new();
        let mut rest = text.trim_matches(|c| c <= ' ');
        while !rest.is_empty() {
            rest = rest.trim_start();
            let (rule, after) = match rest.strip_prefix("DEFAULT") {
                Some(after) => (Rule::Default, after),
                None => {
                    let (given, after) = given(rest)?;
                    (Rule::Given(given), after)
                }
            };
            rules.push(rule);
            rest = after;
        }
        Ok(Self(rules))
    }

    /// What a name is called by the first rule that applies.
    ///
    /// # Errors
    /// Why it has no short name.
    pub fn short_name(&self, name: &Name<'_>, default_realm: &str) -> Result<String, String> {
        let Some(realm) = name.realm else { return Ok(name.service.to_owned()) };
        for rule in &self.0 {
            let short = match rule {
                Rule::Default => (default_realm == realm).then(|| name.service.to_owned()),
                Rule::Given(given) => given.apply(realm, name),
            };
            let Some(short) = short else { continue };
            if short.contains(['/', '@']) {
                let text = match rule {
                    Rule::Default => "DEFAULT",
                    Rule::Given(given) => &given.text,
                };
                return Err(format!("{text} of security.auth_to_local leaves a slash or an @ in its name"));
            }
            return Ok(short);
        }
        Err("no rule of security.auth_to_local applies to its name".into())
    }
}

impl Given {
    fn apply(&self, realm: &str, name: &Name<'_>) -> Option<String> {
        let parts = [Some(realm), Some(name.service), name.host];
        if parts.iter().flatten().count() - 1 != self.parts {
            return None;
        }
        let base = put_together(&self.format, |number| parts.get(number).copied().flatten());
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.is_match(&base)) {
            return None;
        }
        Some(match &self.change {
            Some(change) => change.apply(&base),
            None => base,
        })
    }
}

impl Change {
    /// What Java's `replaceFirst` and `replaceAll` do: an empty match directly behind another one counts too.
    fn apply(&self, base: &str) -> String {
        let mut changed = String::new();
        let (mut copied, mut at) = (0, 0);
        while let Some(groups) = base.get(at..).and_then(|_| self.from.captures_at(base, at)) {
            let Some(found) = groups.get(0) else { break };
            changed.push_str(base.get(copied..found.start()).unwrap_or_default());
            changed.push_str(&self.replacement(&groups));
            copied = found.end();
            let behind = base.get(copied..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            at = if found.is_empty() { copied + behind } else { copied };
            if !self.everywhere {
                break;
            }
        }
        changed.push_str(base.get(copied..).unwrap_or_default());
        changed
    }

    fn replacement(&self, groups: &Captures<'_>) -> String {
        put_together(&self.to, |number| groups.get(number).map(|group| group.as_str()))
    }
}

fn put_together<'a>(pieces: &[Piece], of: impl Fn(usize) -> Option<&'a str>) -> String {
    let mut whole = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => whole.push_str(text),
            Piece::Number(number) => whole.push_str(of(*number).unwrap_or_default()),
        }
    }
    whole
}

/// A rule that begins the text, and what is behind it.
fn given(text: &str) -> Result<(Given, &str), BadRule> {
    let begin = |end: usize| text.get(..end).unwrap_or(text).chars().take(100).collect::<String>();
    let wrong = |why: &str| BadRule(format!("{}: {why}", begin(text.len())));
    let shape = || wrong("a rule is DEFAULT or RULE:[number:format](regex)s/from/to/g");
    let (number, rest) =
        text.strip_prefix("RULE:[").and_then(|rest| rest.split_once(':')).ok_or_else(shape)?;
    let parts: usize = number.parse().map_err(|_| wrong("the number of parts is no number"))?;
    let (format, mut rest) = rest.split_once(']').ok_or_else(shape)?;
    let format = format_pieces(format, parts).map_err(|why| wrong(&why))?;
    let mut wanted = None;
    // A parenthesis that is not closed begins no expression; then it begins nothing, and the next rule is wrong.
    if let Some((pattern, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        let whole = Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| wrong(&one_line(&error)))?;
        (wanted, rest) = (Some(whole), after);
    }
    let mut change = None;
    if let Some((from, to, after)) = rest.strip_prefix("s/").and_then(|rest| {
        let (from, rest) = rest.split_once('/')?;
        let (to, rest) = rest.split_once('/')?;
        Some((from, to, rest))
    }) {
        let from = Regex::new(from).map_err(|error| wrong(&one_line(&error)))?;
        let to = replacement_pieces(to, from.captures_len()).map_err(|why| wrong(&why))?;
        let after_all = after.strip_prefix('g');
        change = Some(Change { from, to, everywhere: after_all.is_some() });
        rest = after_all.unwrap_or(after);
    }
    let text = begin(text.len() - rest.len());
    Ok((Given { text, parts, format, wanted, change }, rest))
}

fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("a regular expression that cannot be used: {last}")
}

/// `$0` is the realm, `$1` and `$2` are the parts.
fn format_pieces(text: &str, parts: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    for (at, piece) in text.split('$').enumerate() {
        if at == 0 {
            pieces.push(Piece::Text(piece.to_owned()));
            continue;
        }
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        let number: usize = number.parse().map_err(|_| "$ needs the number of a part".to_owned())?;
        if number > parts.min(2) {
            return Err(format!("${number} is above the number of parts"));
        }
        pieces.extend([Piece::Number(number), Piece::Text(rest.to_owned())]);
    }
    Ok(pieces)
}

/// A replacement as Java's `Matcher` reads it: `$1` is a group, a backslash takes its meaning from what follows.
fn replacement_pieces(text: &str, groups: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\\' => plain.push(rest.next().ok_or("a backslash at the end")?),
            '$' => {
                let mut number = rest
                    .next()
                    .and_then(|digit| digit.to_digit(10))
                    .map(|digit| digit as usize)
                    .filter(|number| *number < groups)
                    .ok_or("$ needs the number of a group")?;
                // As many digits as name a group.
                while let Some(more) = rest.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = number * 10 + more as usize;
                    if longer >= groups {
                        break;
                    }
                    number = longer;
                    rest.next();
                }
                pieces.extend([Piece::Text(std::mem::take(&mut plain)), Piece::Number(number)]);
            }
            other => plain.push(other),
        }
    }
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &str, name: &str, expected: Result<&str, ()>) {
        let parsed = Rules::parse(rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
        let short = parsed.short_name(&Name::parse(name).expect("a name"), "EXAMPLE.COM");
        assert_eq!(short.as_deref().map_err(|_| ()), expected, "{rules} {name}");
    }

    #[test]
    fn the_default_rule_takes_names_of_the_default_realm() {
        check("DEFAULT", "bob@EXAMPLE.COM", Ok("bob"));
        check("DEFAULT", "hbase/rs1@EXAMPLE.COM", Ok("hbase"));
        check("DEFAULT", "bob@OTHER", Err(()));
        check("DEFAULT", "bob", Ok("bob"));
        check("", "bob", Ok("bob"));
        check("", "bob@EXAMPLE.COM", Err(()));
    }

    /// What `KerberosName` of the reference answers, release 3.9.5.
    #[test]
    fn rules_are_applied_as_in_the_reference() {
        check("RULE:[2:$1@$0](rm@.*EXAMPLE.COM)s/.*/yarn/ DEFAULT", "rm/h@EXAMPLE.COM", Ok("yarn"));
        check("RULE:[2:$1@$0](rm@.*EXAMPLE.COM)s/.*/yarn/ DEFAULT", "nn/h@EXAMPLE.COM", Ok("nn"));
        check("RULE:[1:$1]", "bob@ANY", Ok("bob"));
        check("RULE:[1:$1]", "bob/h@ANY", Err(()));
        check("RULE:[2:$1;$2](^.*;admin$)s/;admin$//", "joe/admin@ANY", Ok("joe"));
        check("RULE:[1:$1@$0](.*@OTHER)s/@.*//\nRULE:[2:$2]\nDEFAULT", "bob@OTHER", Ok("bob"));
        check("RULE:[1:$1@$0](.*@OTHER)s/@.*//\nRULE:[2:$2]\nDEFAULT", "a/b@OTHER", Ok("b"));
        check("RULE:[1:$1@$0]", "bob@OTHER", Err(()));
        check("DEFAULTRULE:[1:x$1y]", "bob@OTHER", Ok("xboby"));
        check("RULE:[1:$1](ob)", "bob@X", Err(()));
        check("RULE:[1:$1]s/o/0/", "foo@X", Ok("f0o"));
        check("RULE:[1:$1]s/o/0/g", "foo@X", Ok("f00"));
        check("RULE:[1:$1]s/.*/x/g", "foo@X", Ok("xx"));
        check("RULE:[1:$1]s/(.)(.)/$2$1/g", "abcd@X", Ok("badc"));
        check("RULE:[1:$1]s/o*/-/g", "foob@X", Ok("-f--b-"));
        check("RULE:[1:$1]s/b/\\$1/", "abc@X", Ok("a$1c"));
        check("RULE:[1:$1](a|b.*)s/c/d/", "bcc@X", Ok("bdc"));
    }

    #[test]
    fn wrong_rules_are_named() {
        for (rules, says) in [
            ("DEFAULT nonsense", "nonsense: a rule is"),
            ("RULE:[:$1]", "no number"),
            ("RULE:[1:$]", "needs the number of a part"),
            ("RULE:[1:$2]", "above the number of parts"),
            ("RULE:[1:$1](a(b)", "regular expression"),
            ("RULE:[1:$1]s/(/x/", "regular expression"),
            ("RULE:[1:$1]s/a/$1/", "number of a group"),
            ("RULE:[1:$1]s/a/\\/", "backslash"),
            ("RULE:[1:$1]s/a/b/L", "L: a rule is"),
            ("RULE:[1:$1", "a rule is"),
            ("RULE:[1:$1]s/a/b", "s/a/b: a rule is"),
        ] {
            let error = Rules::parse(rules).expect_err(rules).to_string();
            assert!(error.contains(says), "{rules}: {error}");
        }
    }

    #[test]
    fn any_name_is_judged_without_panic() {
        let rules = Rules::parse("RULE:[1:$1]s/é*/é/g RULE:[2:$2$1$0]s/$/x/g DEFAULT").expect("rules");
        for name in ["é@é", "ééa/é@", "@", "/@", "😀/😀@😀", "😀"] {
            let _short = rules.short_name(&Name::parse(name).expect("a name"), "é");
        }
    }
}
