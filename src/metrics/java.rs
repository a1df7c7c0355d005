//! Numbers and dates as Java prints them: monitoring tools parse the exact text.

/// `Double.toString` (of JDK 19 on, which prints no superfluous digit): always with a fraction, and
/// with an exponent outside 0.001 to 10,000,000.
pub fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => scientific,
    }
}

/// An average as the reference rounds it: four decimals, halves up.
/// Reference: `AvgMinMaxCounter.getAvg`.
pub fn average(total: i64, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let exact = total as f64 / count as f64;
    let rounded = (exact * 10_000.0).round() / 10_000.0;
    if rounded.is_finite() { rounded } else { exact }
}

/// `Date.toString` in UTC: `Sat Nov 21 01:05:34 UTC 2026`.
pub fn date(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year:04}")
}

/// Year, month (0 to 11) and day of a count of days since 1970-01-01.
fn civil(days: i64) -> (i64, usize, i64) {
    // Years are counted from March, so that the leap day is the last of its year, and in eras of
    // 400 years, which all have the same number of days.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    (year_of_era + era * 400 + i64::from(month < 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_in_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.3333, "0.3333"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (0.00025, "2.5E-4"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (-12_345_678.5, "-1.23456785E7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn averages_have_four_decimals() {
        assert_eq!(average(1, 3), 0.3333);
        assert_eq!(average(2, 3), 0.6667);
        assert_eq!(average(0, 0), 0.0);
    }

    #[test]
    fn dates_look_as_in_java() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(1_795_223_134_000), "Sat Nov 21 01:05:34 UTC 2026");
        assert_eq!(date(951_782_400_999), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(date(-1), "Wed Dec 31 23:59:59 UTC 1969");
    }
}
