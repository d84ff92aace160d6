//! Repeats, rotation and races.

use std::sync::Arc;

use landbridge_enlist::{DeviceKeys, FormKind, Login};
use landbridge_wire::Jid;

use super::world::{World, keys, request};
use crate::Change;
use crate::db::EnlistKeys;
use crate::events::EventKind;

async fn enlist(world: &World, keys: &DeviceKeys) -> (Login, Change) {
    let login = world.post(request(&world.partner, keys).to_form(FormKind::Full)).await.unwrap();
    let mut changes = world.events().into_iter().filter_map(|event| match event.kind {
        EventKind::Enlisted { change } => Some(change),
        _ => None,
    });
    (login, changes.next_back().unwrap())
}

fn stored(world: &World, login: Login) -> EnlistKeys {
    let jid: Jid = login.to_string().parse().unwrap();
    let user = world.state.db.read(|tx| tx.user(&jid)).unwrap().unwrap();
    EnlistKeys {
        authkey: user.authkey.unwrap(),
        registration: user.registration,
        identity: user.identity,
        signed_prekey: user.signed_prekey,
    }
}

#[tokio::test]
async fn the_same_user_keeps_the_login() {
    let world = World::start().await;
    let first = keys();
    let (login, change) = enlist(&world, &first).await;
    assert_eq!(change, Change::New);
    assert_eq!(enlist(&world, &first).await, (login, Change::None));
    let fresh = keys();
    let other_auth = DeviceKeys { auth_key: fresh.auth_key, ..first.clone() };
    assert_eq!(enlist(&world, &other_auth).await, (login, Change::AuthKey));
    let mut rng = rand::rng();
    let identity = landbridge_curve::PrivateKey::generate(&mut rng);
    let mut own = DeviceKeys { identity_key: identity.public(), ..other_auth };
    own.signed_prekey.signature = identity.sign(&[&own.signed_prekey.key.to_typed()], &mut rng);
    assert_eq!(enlist(&world, &own).await, (login, Change::Identity));
    own.signed_prekey.key = fresh.signed_prekey.key;
    own.signed_prekey.signature = identity.sign(&[&own.signed_prekey.key.to_typed()], &mut rng);
    assert_eq!(enlist(&world, &own).await, (login, Change::SignedPreKey));
    own.registration_id = 1;
    assert_eq!(enlist(&world, &own).await, (login, Change::Identity));
    assert_eq!(stored(&world, login), EnlistKeys::from(&own));
}

#[tokio::test]
async fn the_same_keys_may_be_another_users() {
    let world = World::start().await;
    let keys = keys();
    let (alice, _) = enlist(&world, &keys).await;
    let mut request = request(&world.partner, &keys);
    request.identifier = "bob".parse().unwrap();
    request.token = world.partner.token(0, "bob");
    let bob = world.post(request.to_form(FormKind::Full)).await.unwrap();
    assert_ne!(alice, bob);
}

/// Of many at once one wins whole: the stored keys are those of one request, never a mix.
#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_do_not_mix() {
    let world = Arc::new(World::start().await);
    let devices: Vec<_> = (0..20).map(|_| keys()).collect();
    let mut racing = tokio::task::JoinSet::new();
    for device in devices.clone() {
        let world = Arc::clone(&world);
        racing.spawn(async move {
            world.post(request(&world.partner, &device).to_form(FormKind::Full)).await.unwrap()
        });
    }
    let logins = racing.join_all().await;
    assert!(logins.iter().all(|login| *login == logins[0]));
    let stored = stored(&world, logins[0]);
    assert_eq!(devices.iter().filter(|device| EnlistKeys::from(*device) == stored).count(), 1);
}
