//! Ends a service when the process that started it is gone, however that ended.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A shell that waits for the end of its standard input, which only this process holds open. Statics are not dropped and
/// a killed process drops nothing, but the system closes its pipes in every case.
const SCRIPT: &str = r#"
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$0"
"#;

/// Kills the service it was told of last and removes its directory, once this value or this process is gone.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    told: Option<ChildStdin>,
}

impl Keeper {
    /// For what lies in `directory`.
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // An interrupt from the terminal is for the tests; their end is what this one waits for.
            .process_group(0)
            .spawn()?;
        let told = shell.stdin.take();
        Ok(Self { shell, told })
    }

    /// The service is this process now; `None` if there is none.
    pub(crate) fn watch(&mut self, process: Option<u32>) -> io::Result<()> {
        let line = process.map(|id| id.to_string()).unwrap_or_default();
        match &mut self.told {
            Some(told) => writeln!(told, "{line}"),
            None => Ok(()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.told.take());
        // It ends when the service has; there is nobody to tell if not.
        let _ = self.shell.wait();
    }
}
