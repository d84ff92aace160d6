//! The program's configuration file.

use landbridge_cli::check_config;
use toml::{Table, Value};

/// Tables whose keys are names that users give.
const OF_USERS: [&str; 2] = ["partners", "dev_users"];
/// A key that no table has.
const UNKNOWN: &str = "no_such_key";

/// What is accepted is accepted printed anew, and no longer once any of its tables has a key that is not known. What is
/// refused is refused in one line, which names a line that is there.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let table = text.parse::<Table>();
    match check_config(text) {
        Ok(()) => {
            let mut table = table.expect("what is accepted is TOML");
            assert_eq!(check_config(&table.to_string()), Ok(()), "the same, printed anew");
            for path in paths(&table) {
                let place = inside(&mut table, &path);
                place.insert(UNKNOWN.to_owned(), Value::Boolean(true));
                let told = check_config(&table.to_string());
                assert!(told.is_err_and(|told| told.contains(UNKNOWN)), "a key was passed over in {path:?}");
                inside(&mut table, &path).remove(UNKNOWN);
            }
        }
        Err(problem) => {
            assert!(!problem.contains('\n'), "{problem}");
            let Some(rest) = problem.strip_prefix(", line ") else {
                assert!(problem.starts_with(": "), "{problem}");
                return;
            };
            let line: usize = rest.split(':').next().and_then(|line| line.parse().ok()).expect("a number");
            assert!((1..=text.split('\n').count()).contains(&line), "{problem}");
        }
    }
}

/// The tables that are sections or parts of one, by their keys; the first is the file.
fn paths(table: &Table) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    for (key, value) in table {
        if let Value::Table(inner) = value
            && !OF_USERS.contains(&key.as_str())
            && key != "profile"
        {
            found.extend(paths(inner).into_iter().map(|path| [vec![key.clone()], path].concat()));
        }
    }
    found
}

fn inside<'t>(table: &'t mut Table, path: &[String]) -> &'t mut Table {
    path.iter().fold(table, |table, key| {
        table.get_mut(key).and_then(Value::as_table_mut).expect("the path was read off the table")
    })
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        include_str!("../../crates/cli/landbridge.example.toml"),
        "",
        "[client]\nidentifier = \"alice\"\nintegrator = 1\n",
        "[sandbox]\nchat = \"127.0.0.1:1\"\npartners = { 1 = \"http://a\" }\nseed = 7\n",
        "[partner]\ninsecure_dev_auth = true\n[partner.dev_users]\n\"session\" = \"alice\"\n",
        "[sandbox]\nchatt = 1\n",
        "client = 3\n\n\n",
        "[client]\nintegrator = 99999\n",
        "[client\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
