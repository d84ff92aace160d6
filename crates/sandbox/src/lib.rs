//! WhatsApp's side on a laptop: enlistment, chat server, mailbox and test phones
