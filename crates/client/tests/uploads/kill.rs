//! A process that uploads a file is killed: at random instants, and at each commit. The next one goes on; the file is received once,
//! as it was, and no more goes twice than one piece for each kill.
//!
//! A run for each commit takes a while, so by default one in three is taken, others each time; `LANDBRIDGE_POINTS=all` takes all,
//! `LANDBRIDGE_POINTS=N` the one at N; `LANDBRIDGE_KILLS` says how many kills at random are wanted.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use landbridge::media::{OutgoingFile, encrypted_length};
use landbridge::stanza::MessageId;
use landbridge::store::SqliteStore;
use landbridge_sandbox::Direction;
use rand::RngExt as _;
use tokio::process::{Child, Command};

use super::world::{BOB, Surroundings, World, bob, bytes};

/// Holds the orders of a life; nothing else starts one.
const ORDERS: &str = "LANDBRIDGE_UPLOAD_LIFE";
const LENGTH: usize = 2_500_000;
/// What is sent again after a break at most, with the headers of its request and of asking how much is there.
const TWICE: u64 = 1024 * 1024 + 64 * 1024;
/// Far more than a life takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a life keeps what it was promised, and finds the file that it sends.
struct Paths {
    file: PathBuf,
    id: PathBuf,
}

fn paths(folder: &Path) -> Paths {
    Paths { file: folder.join("file"), id: folder.join("id") }
}

/// One life, in a process of its own: sends the file unless that was done, and waits until it is delivered.
#[test]
fn a_life() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(live(&orders.split(' ').collect::<Vec<_>>()));
}

async fn live(orders: &[&str]) {
    let [folder, chat, enlist, root, partner, gate, abort_at] = orders.try_into().unwrap();
    let text = |part: &str| part.to_owned();
    let (chat, enlist, root, partner, gate) =
        (text(chat), text(enlist), text(root), text(partner), text(gate));
    let mut store = SqliteStore::open(Path::new(folder).join("client.db")).unwrap();
    let (mut point, abort_at) = (0_u64, abort_at.parse::<u64>().ok());
    store.observe_commits(move |_| {
        if Some(point) == abort_at {
            std::process::abort();
        }
        point += 1;
    });
    let life = Surroundings { chat, enlist, root, partner, gate }.life(store);
    let paths = paths(Path::new(folder));
    let promised = match std::fs::read_to_string(&paths.id) {
        Ok(id) => Some(MessageId::try_from(id).unwrap()),
        // Killed between the promise and the note of it.
        Err(_) => life.files.pending().await.unwrap().pop().map(|file| file.id),
    };
    let id = match promised {
        Some(id) => id,
        None => {
            let file = OutgoingFile::new(paths.file.as_path(), "application/zip");
            life.files.send_document(&bob(), file).await.unwrap()
        }
    };
    // At once and whole, or not at all.
    let draft = paths.id.with_extension("draft");
    std::fs::write(&draft, id.as_str()).unwrap();
    std::fs::rename(draft, &paths.id).unwrap();
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    life.client.disconnect().await;
}

impl World {
    fn start(&self, abort_at: Option<u64>) -> Child {
        let Surroundings { chat, enlist, root, partner, gate } = self.surroundings();
        let abort_at = abort_at.map_or_else(|| "never".to_owned(), |point| point.to_string());
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let orders = [folder, chat, enlist, root, partner, gate, abort_at].join(" ");
        Command::new(std::env::current_exe().unwrap())
            .args(["kill::a_life", "--exact", "--nocapture", "--test-threads", "1"])
            .env(ORDERS, orders)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.folder.path().join("said")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// A life that ends by itself; whether it came to its end.
    async fn lived(&self, abort_at: Option<u64>) -> bool {
        let mut child = self.start(abort_at);
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("a life hangs").unwrap().success()
    }

    /// What the last life has complained of.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    /// A new file to be sent, unlike all before.
    fn give(&self, seed: usize) -> Vec<u8> {
        let (plain, paths) = (bytes(LENGTH, seed), paths(self.folder.path()));
        std::fs::write(paths.file, &plain).unwrap();
        let _none = std::fs::remove_file(paths.id);
        plain
    }

    /// After an orderly life: the file is there once, and no more went twice than may.
    async fn judge(&self, plain: &[u8], files: usize, kills: u64, before: u64) {
        let id = std::fs::read_to_string(paths(self.folder.path()).id).unwrap();
        self.arrived(&MessageId::try_from(id).unwrap(), plain).await;
        let screen = self.sandbox.handle().phone_messages(BOB).unwrap();
        let received = screen.iter().filter(|line| line.direction == Direction::Received).count();
        assert_eq!(received, files, "{screen:?}");
        assert!(self.spooled().is_empty());
        let (passed, length) = (self.gate.passed() - before, encrypted_length(LENGTH as u64).unwrap());
        let most = length + 64 * 1024 + kills * TWICE;
        assert!((length..=most).contains(&passed), "{passed} of {length} bytes after {kills} kills");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_commit() {
    let world = World::new().await;
    let chosen = std::env::var("LANDBRIDGE_POINTS").ok();
    let (step, mut point) = match chosen.as_deref() {
        Some("all") => (1, 0),
        Some(one) => (u64::MAX, one.parse().expect("`all` or a number")),
        None => (3, rand::rng().random_range(0..3)),
    };
    let mut files = 0;
    loop {
        println!("commit point {point}");
        let (plain, before) = (world.give(files), world.gate.passed());
        files += 1;
        let unharmed = world.lived(Some(point)).await;
        assert!(
            unharmed || world.lived(None).await,
            "the life after commit point {point} fails: {}",
            world.said()
        );
        world.judge(&plain, files, u64::from(!unharmed), before).await;
        if unharmed {
            break;
        }
        match point.checked_add(step) {
            Some(next) => point = next,
            None => return,
        }
    }
    println!("{files} files, up to commit point {point}");
    // Before and after: the file is stored, its place is noted, its message is stored, sent and delivered.
    assert!(point >= 10, "there are only {point} commit points");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_random() {
    let wanted = std::env::var("LANDBRIDGE_KILLS").map_or(8, |kills| kills.parse().expect("a number"));
    let world = World::new().await;
    let (plain, before) = (world.give(0), world.gate.passed());
    let begun = std::time::Instant::now();
    assert!(world.lived(None).await, "{}", world.said());
    world.judge(&plain, 1, 0, before).await;
    let life = begun.elapsed();
    let (mut files, mut kills) = (1, 0);
    while kills < wanted {
        let (plain, before, earlier) = (world.give(files), world.gate.passed(), kills);
        files += 1;
        loop {
            let after = life.mul_f64(rand::rng().random());
            let mut child = world.start(None);
            tokio::select! {
                ended = child.wait() => {
                    assert!(ended.unwrap().success(), "{}", world.said());
                    break;
                }
                () = tokio::time::sleep(after) => {
                    println!("file {files}: killed after {after:?}");
                    child.kill().await.unwrap();
                    kills += 1;
                }
            }
        }
        world.judge(&plain, files, kills - earlier, before).await;
    }
    println!("{kills} kills, {files} files");
}
