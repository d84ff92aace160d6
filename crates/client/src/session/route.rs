//! Where each stanza of the server goes.

use std::sync::Arc;

use landbridge_stanza::account::Clean;
use landbridge_stanza::ack::{AckIn, AckOut};
use landbridge_stanza::codes::NackCode;
use landbridge_stanza::ib::Ib;
use landbridge_stanza::notification::{Notification, NotificationEvent};
use landbridge_stanza::stream::{Reaction, StreamError};
use landbridge_stanza::{Inbound, StanzaError};
use landbridge_store::Fact;
use landbridge_wire::Node;

use super::Session;
use crate::error::{Ending, Error};
use crate::event::Event;

impl Session {
    /// Does all that a stanza calls for: when this returns, its effects are stored and its answer is owed or queued.
    ///
    /// # Errors
    /// An [`Ending`] if the session cannot go on.
    pub(crate) async fn route(self: &Arc<Self>, node: Node) -> Result<(), Ending> {
        let of_mailbox = node.view().has_attr("offline");
        match self.dispatch(node).await {
            Ok(()) => {}
            Err(Error::Store { source }) => return Err(Ending::Store { source }),
            Err(Error::Encode { source }) => return Err(Ending::Encode { source }),
            // The session is over already, and its ending is known.
            Err(Error::Disconnected { .. } | Error::NotConnected) => return Ok(()),
            Err(error) => tracing::warn!(error = error.for_log(), "a stanza could not be processed"),
        }
        if of_mailbox && self.count_mailbox() {
            // The only failure is the end of the session, which is known.
            let _ended = self.ask_for_mailbox().await;
        }
        Ok(())
    }

    async fn dispatch(self: &Arc<Self>, node: Node) -> Result<(), Error> {
        let profile = &self.inner.profile;
        let inbound = match Inbound::from_node(node.view(), profile) {
            Ok(inbound) => inbound,
            Err(error) => return self.refuse(&node, &error).await,
        };
        match inbound {
            Inbound::Reply(reply) => {
                self.pending.answer(&reply.id, node);
                Ok(())
            }
            Inbound::Ping(ping) => self.send(&ping.reply_node()).await,
            Inbound::Request(request) => match request.refusal(profile) {
                Some(refusal) => self.send(&refusal).await,
                None => Ok(()),
            },
            Inbound::Message(message) => crate::messages::receive::message(self, *message).await,
            Inbound::Receipt(receipt) => crate::receipts::received(self, *receipt, &node).await,
            Inbound::Ack(ack) => self.acked(ack).await,
            Inbound::Notification(notification) => self.notified(*notification).await,
            Inbound::Ib(ib) => self.informed(ib).await,
            Inbound::ChatState(state) => {
                self.peer_types(state.from, state.state);
                Ok(())
            }
            Inbound::Presence(presence) => {
                let event = Event::Presence { from: presence.from, availability: presence.availability };
                self.inner.events.push(event);
                Ok(())
            }
            Inbound::StreamError(error) => {
                self.given_up(error);
                Ok(())
            }
            Inbound::Failure(failure) => {
                let reaction = crate::connection::public(failure.reaction(profile));
                self.end(Ending::LoginWithdrawn { failure: Box::new(failure), reaction });
                Ok(())
            }
            Inbound::End => {
                self.end(Ending::ServerEnded);
                Ok(())
            }
            // A second one on a connection is ignored (PEERS).
            Inbound::Success(_) => Ok(()),
            Inbound::Unknown(node) => self.unknown(&node).await,
            _ => self.unknown(&node).await,
        }
    }

    /// A known stanza that lacks a part. It is named to the server; nothing else happens.
    async fn refuse(&self, node: &Node, error: &StanzaError) -> Result<(), Error> {
        tracing::warn!(error = %error, "a stanza of the server cannot be read");
        match AckOut::answering(node.view(), Some(NackCode::Parsing)) {
            Some(ack) => self.send(&ack.to_node(&self.inner.profile)).await,
            None => Ok(()),
        }
    }

    async fn unknown(&self, node: &Node) -> Result<(), Error> {
        let view = node.view();
        let error = (!view.is("call")).then_some(NackCode::UnknownTag);
        match AckOut::answering(view, error) {
            Some(ack) => self.send(&ack.to_node(&self.inner.profile)).await,
            None => Ok(()),
        }
    }

    fn given_up(&self, error: StreamError) {
        if error.reaction(&self.inner.profile) == Reaction::KeepReading {
            tracing::warn!(error = ?error, "the server misses an ack; the stanza comes again");
            return;
        }
        self.end(crate::connection::given_up(&self.inner, error));
    }

    async fn acked(self: &Arc<Self>, ack: AckIn) -> Result<(), Error> {
        use landbridge_stanza::ack::AckClass;
        match ack.class {
            AckClass::Message => crate::messages::outbox::acked(self, ack).await,
            _ => Ok(()),
        }
    }

    async fn notified(self: &Arc<Self>, notification: Notification) -> Result<(), Error> {
        let ack = notification.ack();
        match notification.event {
            NotificationEvent::PreKeysLow { .. } => {
                return crate::own_keys::running_low(self, &ack).await;
            }
            NotificationEvent::CheckDigest => {
                return crate::own_keys::digest_wanted(self, &ack).await;
            }
            NotificationEvent::IdentityChanged { .. } => {
                return crate::messages::identity_changed(self, notification.from, &ack).await;
            }
            NotificationEvent::Blocklist(change) => {
                return crate::blocking::notified(self, change, &ack).await;
            }
            NotificationEvent::Reachable(reachability) => {
                self.inner.events.push(Event::Reachable { user: notification.from, reachability });
            }
            _ => {}
        }
        self.send(&ack.to_node(&self.inner.profile)).await
    }

    async fn informed(self: &Arc<Self>, ib: Ib) -> Result<(), Error> {
        match ib {
            Ib::OfflinePreview(preview) => {
                let event = Event::MailboxPreview { count: preview.count, messages: preview.message };
                self.inner.events.push(event);
                self.ask_for_mailbox().await
            }
            Ib::Offline { count } => {
                self.mailbox_done();
                self.inner.events.push(Event::MailboxEmpty { delivered: count });
                Ok(())
            }
            Ib::Dirty { kind, timestamp } => {
                self.spawn(|session| async move {
                    session.request("cleaning of a mark", &Clean { kind, timestamp }).await
                });
                Ok(())
            }
            Ib::EdgeRouting { routing_info } => {
                let keep = move |tx: &mut dyn landbridge_store::StoreTx| {
                    tx.set_fact(Fact::ROUTING_INFO, Some(&routing_info)).map_err(Error::from)
                };
                self.inner.vault.write(keep).await
            }
            Ib::ClientExpiration { t } => {
                self.inner.events.push(Event::ClientExpires { at: t });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
