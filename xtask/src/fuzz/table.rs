//! The table of all recorded runs: what each target has done so far.

use std::{collections::BTreeMap, fmt::Write as _, fs, io::ErrorKind, path::Path};

use super::Figures;
use crate::run::Outcome;

const HEAD: &str = "target\texecutions\tseconds\texec/s of the last run\tcrashes\n";

/// Executions, seconds, rate of the last run, inputs that broke something.
type Row = [u64; 4];

/// Adds a run to the row of its target.
pub(super) fn record(path: &Path, target: &str, seconds: u32, figures: &Figures) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let table =
        added(&text, target, seconds, figures).ok_or_else(|| format!("{} is no table", path.display()))?;
    fs::write(path, table).map_err(failed)
}

/// The table with one run more; `None` if the text is none.
fn added(text: &str, target: &str, seconds: u32, figures: &Figures) -> Option<String> {
    let mut rows: BTreeMap<String, Row> = text.lines().skip(1).map(row).collect::<Option<_>>()?;
    let [executions, spent, rate, crashes] = rows.entry(target.to_owned()).or_default();
    *executions += figures.executions;
    *spent += u64::from(seconds);
    *rate = figures.per_second;
    *crashes += figures.crashes as u64;
    let mut table = HEAD.to_owned();
    for (target, [executions, seconds, rate, crashes]) in &rows {
        writeln!(table, "{target}\t{executions}\t{seconds}\t{rate}\t{crashes}").ok()?;
    }
    Some(table)
}

fn row(line: &str) -> Option<(String, Row)> {
    let (target, figures) = line.split_once('\t')?;
    let figures: Vec<u64> = figures.split('\t').map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((target.to_owned(), figures.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up() {
        let figures = Figures { executions: 10, per_second: 5, corpus: 1, crashes: 0 };
        let once = added("", "b", 2, &figures).unwrap();
        let other = added(&once, "a", 3, &figures).unwrap();
        let again = added(&other, "b", 2, &Figures { per_second: 7, crashes: 1, ..figures }).unwrap();
        assert_eq!(again, format!("{HEAD}a\t10\t3\t5\t0\nb\t20\t4\t7\t1\n"));
        assert_eq!(added("head\nnonsense", "a", 1, &figures), None);
    }
}
