//! When a certificate ends: the one field of X.509 that an operator wants to see coming.

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] version`, which certificates of version 1 do not have.
const VERSION: u8 = 0xa0;

/// Unix seconds of `notAfter`.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    let rest = if to_be_signed.first() == Some(&VERSION) { any(to_be_signed)?.2 } else { to_be_signed };
    // Serial number, algorithm, issuer.
    let rest = any(any(any(rest)?.2)?.2)?.2;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (kind, time, _) = any(any(validity)?.2)?;
    seconds(kind, std::str::from_utf8(time).ok()?)
}

fn element(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (kind, content, rest) = any(der)?;
    (kind == wanted).then_some((content, rest))
}

/// Tag, content and what follows.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn seconds(kind: u8, time: &str) -> Option<u64> {
    let digits = time.strip_suffix('Z').filter(|time| time.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days are counted in years that begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468).map(|days| days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (kind, time, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "270115080000Z", Some(1_800_000_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "21000228235959Z", Some(4_107_542_399)),
            (GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400)),
            (GENERALIZED_TIME, "20000229000000Z", Some(951_782_400)),
            (UTC_TIME, "500101000000Z", None),
            (UTC_TIME, "271315080000Z", None),
            (UTC_TIME, "2701150800Z", None),
            (UTC_TIME, "270115080000+0100", None),
        ] {
            assert_eq!(seconds(kind, time), expected, "{time}");
        }
    }

    #[test]
    fn of_a_certificate() {
        let mut parameters = rcgen::CertificateParams::new(vec!["partner.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2027, 1, 15);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        assert_eq!(not_after(certificate.der()), Some(1_799_971_200));
        for end in 0..certificate.der().len() {
            assert!(not_after(&certificate.der()[..end]).is_none(), "cut at {end}");
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
