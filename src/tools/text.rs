//! Dates and records as the reference prints them. Reference: `ToStringOutputArchive`,
//! `TxnLogToolkit.getFormattedTxnStr`, `java.util.Date`. Times are in UTC.

use jute::records::data::Acl;
use jute::txn::{TxnBody, TxnEntry};
use jute::{DecodeError, OpCode};

/// A day and the time in it.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

fn civil(ms: i64) -> Civil {
    let seconds = ms.div_euclid(1000);
    let days = seconds.div_euclid(86_400);
    let in_day = seconds.rem_euclid(86_400);
    // Years begin in March here, so that the odd day is the last; 400 of them are 146097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month < 2),
        month: month as usize,
        day: of_year - (153 * shifted_month + 2) / 5 + 1,
        weekday: days.rem_euclid(7) as usize,
        hour: in_day / 3600,
        minute: in_day / 60 % 60,
        second: in_day % 60,
    }
}

/// As `Date.toString`: `Tue Nov 14 22:13:20 UTC 2023`.
#[must_use]
pub fn date(ms: i64) -> String {
    let Civil { year, month, day, weekday, hour, minute, second } = civil(ms);
    let (weekday, month) = (WEEKDAYS[weekday], MONTHS[month]);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// As the short date and the long time of the American locale: `11/14/23, 10:13:20 PM UTC`.
#[must_use]
pub fn short_date(ms: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(ms);
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = (hour + 11) % 12 + 1;
    format!("{}/{day}/{:02}, {hour}:{minute:02}:{second:02} {half} UTC", month + 1, year.rem_euclid(100))
}

/// A transaction on a line, or on several, as access control lists have a line end of their own.
///
/// # Errors
/// The payload is not a transaction.
pub fn transaction(payload: &[u8]) -> Result<String, DecodeError> {
    let TxnEntry { header, body, .. } = TxnEntry::decode(payload)?;
    let mut line = format!(
        "{} session 0x{:x} cxid 0x{:x} zxid 0x{:x} {} {}",
        short_date(header.time),
        header.client_id.0,
        i64::from(header.cxid),
        header.zxid.0,
        operation(OpCode(header.r#type)),
        details(&body)
    );
    if !line.ends_with('\n') {
        line.push('\n');
    }
    Ok(line)
}

fn operation(op: OpCode) -> String {
    op.name().map_or_else(|| format!("unknown {}", op.0), str::to_owned)
}

fn details(body: &TxnBody) -> String {
    match body {
        TxnBody::Create(txn) | TxnBody::Create2(txn) => format!(
            "{},{},{},{},{}",
            shown(txn.path.as_deref()),
            data(txn.data.as_deref()),
            list(txn.acl.as_deref()),
            txn.ephemeral,
            txn.parent_cversion
        ),
        TxnBody::CreateContainer(txn) => format!(
            "{},{},{},{}",
            shown(txn.path.as_deref()),
            data(txn.data.as_deref()),
            list(txn.acl.as_deref()),
            txn.parent_cversion
        ),
        TxnBody::CreateTtl(txn) => format!(
            "{},{},{},{},{}",
            shown(txn.path.as_deref()),
            data(txn.data.as_deref()),
            list(txn.acl.as_deref()),
            txn.parent_cversion,
            txn.ttl
        ),
        TxnBody::SetData(txn) | TxnBody::Reconfig(txn) => {
            format!("{},{},{}", shown(txn.path.as_deref()), data(txn.data.as_deref()), txn.version)
        }
        TxnBody::Multi(parts) => {
            let part = |part: &TxnBody| {
                let mut bytes = Vec::new();
                part.encode(&mut bytes);
                format!("{}:{}", operation(part.op()), data(Some(&bytes)))
            };
            parts.iter().map(part).collect::<Vec<_>>().join(";")
        }
        TxnBody::Delete(txn) | TxnBody::DeleteContainer(txn) => format!("{}\n", quoted(txn.path.as_deref())),
        TxnBody::SetAcl(txn) => {
            let entries: Vec<_> =
                txn.acl.iter().flatten().map(|acl| format!("s{{{}}}", entry(acl))).collect();
            format!("{},v{{{}}},{}\n", quoted(txn.path.as_deref()), entries.join(","), txn.version)
        }
        TxnBody::Check(txn) => format!("{},{}\n", quoted(txn.path.as_deref()), txn.version),
        TxnBody::CreateSession(txn) => format!("{}\n", txn.time_out),
        TxnBody::CloseSession(None) => String::new(),
        TxnBody::CloseSession(Some(txn)) => {
            let paths: Vec<_> =
                txn.paths2delete.iter().flatten().map(|path| quoted(path.as_deref())).collect();
            format!("v{{{}}}\n", paths.join(","))
        }
        TxnBody::Error(txn) => format!("{}\n", txn.err),
    }
}

fn shown(text: Option<&str>) -> &str {
    text.unwrap_or("null")
}

fn data(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// As a list of Java prints records, each of which ends its line.
fn list(acl: Option<&[Acl]>) -> String {
    let Some(acl) = acl else { return "null".to_owned() };
    format!("[{}]", acl.iter().map(|acl| entry(acl) + "\n").collect::<Vec<_>>().join(", "))
}

fn entry(acl: &Acl) -> String {
    format!("{},s{{{},{}}}", acl.perms, quoted(acl.id.scheme.as_deref()), quoted(acl.id.id.as_deref()))
}

/// A string inside a record.
fn quoted(text: Option<&str>) -> String {
    let Some(text) = text else { return String::new() };
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\0' => out.push_str("%00"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            ',' => out.push_str("%2C"),
            '}' => out.push_str("%7D"),
            '%' => out.push_str("%25"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(1_700_000_000_000), "Tue Nov 14 22:13:20 UTC 2023");
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(951_782_400_000), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(date(-1), "Wed Dec 31 23:59:59 UTC 1969");
        assert_eq!(short_date(1_700_000_000_000), "11/14/23, 10:13:20 PM UTC");
        assert_eq!(short_date(0), "1/1/70, 12:00:00 AM UTC");
    }
}
