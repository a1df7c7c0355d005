//! What came of each comparison, one line each, for the report.
//!
//! Lines go to the file that `OXKEEPER_RESULTS` names; without it nothing is written. The report is
//! made from these lines and from nothing else, so that it holds only what ran.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::artifacts::REFERENCE;
use crate::server::Kind;

/// What a comparison is about.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its transcripts.
    pub name: String,
    /// The client or system, with its version.
    pub who: String,
    /// What it did.
    pub what: String,
}

impl Case {
    /// A case by its three words.
    pub fn new(name: &str, who: &str, what: &str) -> Self {
        Self { name: name.to_owned(), who: who.to_owned(), what: what.to_owned() }
    }
}

/// One line of the results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The client or system, with its version.
    pub who: String,
    /// What it did.
    pub what: String,
    /// How it went on the reference.
    pub reference: String,
    /// How it went on the judged server.
    pub judged: String,
    /// What comparing both gave.
    pub compared: String,
}

impl Row {
    /// A row of a script that ran, or not, on either server; `compared` says whether both printed
    /// the same.
    pub fn of(
        case: &Case,
        reference: Option<&Result<String>>,
        judged: &Result<String>,
        compared: &Result<()>,
    ) -> Self {
        let compared = match (reference, judged) {
            (Some(Ok(_)), Ok(text)) if compared.is_ok() => format!("{} lines, equal", text.lines().count()),
            (Some(Ok(_)), Ok(_)) => "they differ".to_owned(),
            (None, Ok(text)) => format!("{} lines, not compared", text.lines().count()),
            _ => "nothing to compare".to_owned(),
        };
        let word = |result: &Result<String>| if result.is_ok() { "passed" } else { "failed" }.to_owned();
        Self {
            who: case.who.clone(),
            what: case.what.clone(),
            reference: reference.map_or("not run".to_owned(), word),
            judged: word(judged),
            compared,
        }
    }

    /// A row that says that nothing ran.
    pub fn skipped(who: &str, missing: &str) -> Self {
        let skipped = "not run".to_owned();
        Self {
            who: who.to_owned(),
            what: "everything".to_owned(),
            reference: skipped.clone(),
            judged: skipped,
            compared: format!("{missing} is not installed"),
        }
    }

    fn line(&self) -> String {
        let parts = [&self.who, &self.what, &self.reference, &self.judged, &self.compared];
        format!("{}\n", parts.map(|part| part.replace(['\t', '\n'], " ")).join("\t"))
    }

    fn parse(line: &str) -> Result<Self> {
        let parts: Vec<&str> = line.split('\t').collect();
        let [who, what, reference, judged, compared] = parts[..] else {
            anyhow::bail!("a result of {} parts: {line:?}", parts.len());
        };
        let [who, what, reference, judged, compared] =
            [who, what, reference, judged, compared].map(str::to_owned);
        Ok(Self { who, what, reference, judged, compared })
    }
}

/// Adds a row, if results are wanted and the judged server is ours.
pub fn record(judged: Kind, row: &Row) -> Result<()> {
    let Some(path) = std::env::var_os("OXKEEPER_RESULTS") else { return Ok(()) };
    ensure!(judged != Kind::Apache(REFERENCE), "OXKEEPER_COMPAT_SELF judges nothing to report");
    let path = Path::new(&path);
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    // One write of one line: tests append from several threads and processes.
    file.write_all(row.line().as_bytes()).with_context(|| format!("write to {}", path.display()))
}

/// Every row of a results file, sorted, each once.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut rows = text.lines().map(Row::parse).collect::<Result<Vec<Row>>>()?;
    rows.sort();
    rows.dedup();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() -> Result<()> {
        let case = Case::new("name", "client 1.2", "this\tand that");
        let (expected, actual) = (Ok("a\nb".to_owned()), Ok("a\nc".to_owned()));
        let row = Row::of(&case, Some(&expected), &actual, &Err(anyhow::anyhow!("differ")));
        let read = Row::parse(row.line().trim_end())?;
        assert_eq!((read.what.as_str(), read.compared.as_str()), ("this and that", "they differ"));
        assert_eq!(Row::of(&case, None, &actual, &Ok(())).compared, "2 lines, not compared");
        assert!(Row::parse("too\tshort").is_err());
        Ok(())
    }
}
