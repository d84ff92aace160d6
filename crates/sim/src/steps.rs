//! What may happen next, drawn from the seed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge::stanza::blocklist::BlockAction;
use landbridge_sandbox::{PhoneError, SandboxError, SandboxHandle};
use tokio::time::{Instant, sleep};

use crate::Broken;
use crate::client::{Command, chain};
use crate::ledger::Party;
use crate::seed::Draw;
use crate::wire::Position;
use crate::world::{World, lock};

/// Seconds that clock jumps may add up to: less than what ends an account.
const JUMPS: u64 = 20 * 86_400;

/// One kind of step.
#[derive(Debug, Clone, Copy)]
enum Step {
    ClientWrites,
    PhoneWrites,
    Burst,
    ClientReads,
    PhoneReads,
    ClientLeaves,
    ClientReturns,
    LinkBreaks,
    LinkBreaksInside,
    LinkGoesDeaf,
    AllLinksBreak,
    Unreachable,
    Kill,
    KillSoon,
    Start,
    Hold,
    Release,
    ClientBlocks,
    ClientUnblocks,
    PhoneBlocks,
    PhoneUnblocks,
    PhoneGoesAway,
    PhoneComesBack,
    PhoneLosesSession,
    PhoneAsksAgain,
    PhoneIsSetUpAnew,
    ClockJumps,
    ClockWrong,
}

/// Each kind with its weight.
const WEIGHTS: [(u64, Step); 28] = [
    (30, Step::ClientWrites),
    (30, Step::PhoneWrites),
    (5, Step::Burst),
    (6, Step::ClientReads),
    (5, Step::PhoneReads),
    (3, Step::ClientLeaves),
    (6, Step::ClientReturns),
    (4, Step::LinkBreaks),
    (4, Step::LinkBreaksInside),
    (3, Step::LinkGoesDeaf),
    (1, Step::AllLinksBreak),
    (2, Step::Unreachable),
    (3, Step::Kill),
    (4, Step::KillSoon),
    (8, Step::Start),
    (3, Step::Hold),
    (2, Step::Release),
    (1, Step::ClientBlocks),
    (2, Step::ClientUnblocks),
    (1, Step::PhoneBlocks),
    (2, Step::PhoneUnblocks),
    (2, Step::PhoneGoesAway),
    (4, Step::PhoneComesBack),
    (2, Step::PhoneLosesSession),
    (2, Step::PhoneAsksAgain),
    (1, Step::PhoneIsSetUpAnew),
    (1, Step::ClockJumps),
    (1, Step::ClockWrong),
];

impl World {
    /// Everybody connects, in peace.
    pub(crate) async fn begin(&mut self) -> Result<(), Broken> {
        for at in 0..self.clients.len() {
            self.start(at).await?;
        }
        sleep(Duration::from_secs(5)).await;
        self.observe();
        self.network.set_calm(false);
        self.handle().set_faults(Some(self.config.sandbox), None);
        Ok(())
    }

    /// Does one thing, and lets some time pass.
    pub(crate) async fn take_step(&mut self) -> Result<(), Broken> {
        let total: u64 = WEIGHTS.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.choices.below(total);
        let kind = WEIGHTS.iter().find(|(weight, _)| match drawn.checked_sub(*weight) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        if let Some((_, kind)) = kind {
            self.act(*kind).await?;
        }
        let pause = match self.choices.below(10) {
            0..3 => 0,
            3..8 => self.choices.below(300),
            8 => self.choices.below(3_000),
            _ => self.choices.below(30_000),
        };
        sleep(Duration::from_millis(pause)).await;
        self.observe();
        Ok(())
    }

    async fn act(&mut self, kind: Step) -> Result<(), Broken> {
        let client = self.choices.index(self.clients.len());
        let phone = self.choices.index(self.phones.len());
        match kind {
            Step::ClientWrites => self.client_writes(client, phone),
            Step::PhoneWrites => self.phone_writes(phone, client),
            Step::Burst => {
                for _ in 0..2 + self.choices.below(8) {
                    match self.choices.below(2) {
                        0 => self.client_writes(client, phone),
                        _ => self.phone_writes(phone, client),
                    }
                }
            }
            Step::ClientReads => {
                self.step(&format!("c{client} reads p{phone}"));
                if let Some(chat) = self.address(Party::Phone(phone)) {
                    self.tell(client, Command::Read { chat });
                }
            }
            Step::PhoneReads => self.phone_reads(phone, client),
            Step::ClientLeaves => {
                self.step(&format!("c{client} leaves"));
                self.tell(client, Command::Disconnect);
            }
            Step::ClientReturns => self.client_returns(client),
            Step::Start => {
                self.step(&format!("c{client} starts"));
                self.start(client).await?;
            }
            Step::Hold => {
                let to = if self.choices.below(2) == 0 { Party::Client(client) } else { Party::Phone(phone) };
                self.hold(to);
            }
            Step::Release => {
                let to = if self.choices.below(2) == 0 { Party::Client(client) } else { Party::Phone(phone) };
                self.release(to);
            }
            Step::ClientBlocks => self.client_blocks(client, phone),
            Step::PhoneBlocks => self.phone_blocks(phone, client),
            Step::ClientUnblocks | Step::PhoneUnblocks => {
                let blocks = lock(&self.shared.ledger).blocks();
                if !blocks.is_empty()
                    && let Some((who, whom)) = blocks.get(self.choices.index(blocks.len()))
                {
                    self.unblock(*who, *whom);
                }
            }
            Step::PhoneGoesAway => self.trick(phone, "goes away", |handle, me| handle.phone_go_offline(me)),
            Step::PhoneComesBack => self.phone_comes_back(phone),
            Step::PhoneLosesSession => self.phone_loses_session(phone, client),
            Step::PhoneAsksAgain => self.phone_asks_again(phone, client),
            Step::PhoneIsSetUpAnew => {
                self.trick(phone, "is set up anew", |handle, me| handle.phone_reinstall(me).map(drop));
            }
            Step::ClockJumps => self.clock_jumps(),
            Step::ClockWrong => {
                let behind = self.choices.below(60);
                self.step(&format!("the clock of c{client} is {behind} s behind"));
                if let Some(seat) = self.clients.get(client) {
                    seat.behind.store(behind, Ordering::Relaxed);
                }
            }
            fault => self.network_or_death(fault, client),
        }
        Ok(())
    }

    fn network_or_death(&mut self, kind: Step, client: usize) {
        let more = self.choices.below(12);
        let seconds = 1 + self.choices.below(30);
        let (up, down) = match self.choices.below(3) {
            0 => (true, true),
            1 => (true, false),
            _ => (false, true),
        };
        self.step(&format!("{kind:?} c{client} {more} {seconds} {up} {down}"));
        if let Step::AllLinksBreak = kind {
            for seat in &self.clients {
                if let Some(life) = &seat.life {
                    life.wire.set(Position::Broken);
                }
            }
            return;
        }
        let Some(life) = self.clients.get(client).and_then(|seat| seat.life.as_ref()) else { return };
        match kind {
            Step::LinkBreaks => drop(life.wire.set(Position::Broken)),
            Step::LinkBreaksInside => drop(life.wire.set(Position::BreaksInside)),
            Step::LinkGoesDeaf => drop(life.wire.set(Position::Deaf { up, down })),
            Step::Unreachable => life.wire.unreachable_for(Duration::from_secs(seconds)),
            Step::KillSoon => life.fate.kill_after(more),
            Step::Kill => life.fate.kill(),
            _ => {}
        }
    }

    fn tell(&self, client: usize, command: Command) {
        if let Some(life) = self.clients.get(client).and_then(|seat| seat.life.as_ref()) {
            life.tell(command);
        }
    }

    pub(crate) fn client_returns(&mut self, client: usize) {
        self.step(&format!("c{client} returns"));
        if let Some(life) = self.clients.get_mut(client).and_then(|seat| seat.life.as_mut()) {
            life.run();
        }
    }

    pub(crate) fn client_writes(&mut self, client: usize, phone: usize) {
        let alive = self.clients.get(client).is_some_and(|seat| seat.life.is_some());
        let Some(to) = self.address(Party::Phone(phone)).filter(|_| alive) else { return };
        let (number, text) = lock(&self.shared.ledger).ask(Party::Client(client), Party::Phone(phone));
        self.step(&format!("c{client} writes {number} to p{phone}"));
        self.tell(client, Command::Send { number, to, text });
    }

    pub(crate) fn phone_writes(&mut self, phone: usize, client: usize) {
        let (Some(from), Some(to)) = (self.phones.get(phone), self.clients.get(client)) else { return };
        let (number, text) = lock(&self.shared.ledger).ask(Party::Phone(phone), Party::Client(client));
        self.step(&format!("p{phone} writes {number} to c{client}"));
        match self.handle().phone_send_text(&from.number, &to.address, &text) {
            Ok(id) => lock(&self.shared.ledger).accepted(number, id.as_str()),
            Err(error) => {
                lock(&self.shared.ledger).refused(number);
                self.shared.trace.violation(format!("p{phone} cannot write to c{client}: {}", chain(&error)));
            }
        }
    }

    fn phone_reads(&mut self, phone: usize, client: usize) {
        let (Some(who), Some(whose)) = (self.phones.get(phone), self.clients.get(client)) else { return };
        self.step(&format!("p{phone} reads c{client}"));
        if let Err(error) = self.handle().phone_read_all(&who.number, &whose.address) {
            self.shared.trace.violation(format!("p{phone} cannot read: {}", chain(&error)));
        }
    }

    /// Lets a phone do something that must always work.
    fn trick(
        &self,
        phone: usize,
        what: &str,
        act: impl FnOnce(&SandboxHandle, &str) -> Result<(), SandboxError>,
    ) {
        let Some(seat) = self.phones.get(phone) else { return };
        self.step(&format!("p{phone} {what}"));
        if let Err(error) = act(self.handle(), &seat.number) {
            self.shared.trace.violation(format!("p{phone} {what}: {}", chain(&error)));
        }
    }

    pub(crate) fn phone_comes_back(&self, phone: usize) {
        self.trick(phone, "comes back", |handle, me| handle.phone_come_online(me));
    }

    fn phone_loses_session(&mut self, phone: usize, client: usize) {
        let Some(seat) = self.clients.get(client) else { return };
        if let Some(me) = self.phones.get(phone) {
            self.excuses.lost(&me.address, &seat.address);
        }
        let what = format!("loses its session with c{client}");
        self.trick(phone, &what, |handle, me| handle.phone_lose_session(me, &seat.address));
    }

    fn phone_asks_again(&self, phone: usize, client: usize) {
        let (me, peer) = (Party::Phone(phone), Party::Client(client));
        let Some(id) = lock(&self.shared.ledger).last_shown_id(me, peer) else { return };
        let (Some(seat), Ok(id)) = (self.clients.get(client), id.try_into()) else { return };
        self.trick(phone, &format!("asks c{client} for {id} again"), |handle, me| {
            match handle.phone_ask_again(me, &seat.address, &id) {
                Err(SandboxError::Phone { source: PhoneError::AskedOften { .. }, .. }) => Ok(()),
                outcome => outcome,
            }
        });
    }

    fn name(&self, party: Party) -> String {
        self.address(party).map(|address| address.to_string()).unwrap_or_default()
    }

    /// The name under which the sandbox finds a party.
    fn handle_name(&self, party: Party) -> String {
        match party {
            Party::Phone(number) => {
                self.phones.get(number).map(|phone| phone.number.clone()).unwrap_or_default()
            }
            Party::Client(_) => self.name(party),
        }
    }

    fn hold(&mut self, to: Party) {
        let (count, seed) = (2 + self.choices.below(4), self.choices.below(u64::MAX));
        let count = u32::try_from(count).unwrap_or(2);
        self.release(to);
        self.step(&format!("the next {count} messages to {to} are held back"));
        lock(&self.shared.ledger).hold(to, count);
        if let Err(error) = self.handle().hold_messages(&self.handle_name(to), count, seed) {
            self.shared.trace.violation(format!("messages to {to} cannot be held: {}", chain(&error)));
        }
    }

    pub(crate) fn release(&mut self, to: Party) {
        // What was held until now is to be known as such.
        self.observe();
        self.step(&format!("what is held back for {to} is let go"));
        lock(&self.shared.ledger).release(to);
        if let Err(error) = self.handle().release_messages(&self.handle_name(to)) {
            self.shared.trace.violation(format!("messages to {to} cannot be let go: {}", chain(&error)));
        }
    }

    fn client_blocks(&mut self, client: usize, phone: usize) {
        self.step(&format!("c{client} blocks p{phone}"));
        if let Some(whom) = self.address(Party::Phone(phone)) {
            lock(&self.shared.ledger).may_block(Party::Client(client), Party::Phone(phone));
            self.tell(client, Command::Block { whom });
        }
    }

    fn phone_blocks(&mut self, phone: usize, client: usize) {
        self.step(&format!("p{phone} blocks c{client}"));
        lock(&self.shared.ledger).may_block(Party::Phone(phone), Party::Client(client));
        self.phone_block(phone, client, BlockAction::Block);
    }

    fn phone_block(&self, phone: usize, client: usize, action: BlockAction) {
        let (Some(who), Some(whom)) = (self.phones.get(phone), self.clients.get(client)) else { return };
        // A list is changed by who is there.
        self.phone_comes_back(phone);
        if let Err(error) = self.handle().phone_block(&who.number, &whom.address, action) {
            self.shared.trace.violation(format!("p{phone} cannot block c{client}: {}", chain(&error)));
        }
    }

    pub(crate) fn unblock(&mut self, who: Party, whom: Party) {
        self.step(&format!("{who} unblocks {whom}"));
        let block = lock(&self.shared.ledger).last_block(who, whom);
        match (who, whom) {
            (Party::Client(client), _) => {
                if let Some(whom) = self.address(whom) {
                    self.tell(client, Command::Unblock { whom, block });
                }
            }
            (Party::Phone(phone), Party::Client(client)) => {
                self.phone_block(phone, client, BlockAction::Unblock);
                lock(&self.shared.ledger).unblocked(who, whom, block);
            }
            (Party::Phone(_), Party::Phone(_)) => {}
        }
    }

    fn clock_jumps(&mut self) {
        let seconds = match self.choices.below(3) {
            0 => 60 + self.choices.below(600),
            1 => 3_600 + self.choices.below(20_000),
            _ => 86_400 + self.choices.below(86_400),
        };
        if self.jumped + seconds > JUMPS {
            return;
        }
        self.jumped += seconds;
        self.jumped_at = Some(Instant::now());
        self.step(&format!("the clock jumps {seconds} s ahead"));
        if let Err(error) = self.handle().advance_clock(seconds) {
            self.shared.trace.violation(format!("the clock cannot be moved: {}", chain(&error)));
        }
        self.observe();
    }
}
