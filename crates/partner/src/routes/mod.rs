//! The public calls.

mod fetch;
mod jwks;
mod me;
mod media;
mod openapi;
mod push;
mod range;
mod segment;
mod token;
mod uploads;
mod wake;

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodRouter, any, delete, get, post, put};
use landbridge_enlist::IntegratorId;
use tower_service::Service;

use crate::auth::{AuthError, UserAuthenticator, UserRecord};
use crate::base_url::BaseUrl;
use crate::clock::Clock;
use crate::key_ring::KeyRing;
use crate::media::Hosting;
use crate::metrics::Metrics;
use crate::observe::{self, Busy};
use crate::problem::{self, Problem};
use crate::push::{Bearers, Bucket, Presence, Results, UnknownUser};
use crate::rate::RateLimit;
use crate::remembered::Remembered;
use crate::scan_guard::ScanGuard;
use crate::store::Store;
use crate::wake::{Dispatcher, WakeHub, WakeKind, WebPushConfig};

pub(crate) use me::REVISION;
pub(crate) use wake::kinds;

/// Path of the key set (SEED), at the origin and under the base path.
const JWKS_PATH: &str = "/.well-known/oauth/openid/jwks";

/// Paths below which a segment names something of a client's own: no place for references.
pub(crate) const NAMED_BELOW: [&str; 3] = ["/v1/media", "/v1/uploads", "/v1/wake-targets"];

/// What the calls share.
pub(crate) struct App {
    pub(crate) base_url: BaseUrl,
    pub(crate) integrator: IntegratorId,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) authenticator: Arc<dyn UserAuthenticator>,
    pub(crate) rate: RateLimit,
    pub(crate) tokens_per_hour: u32,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) remembered: Remembered,
    pub(crate) bearers: Bearers,
    pub(crate) push_bucket: Bucket,
    pub(crate) push_results: Results,
    /// The requests that are pushes.
    pub(crate) pushes: Busy,
    pub(crate) queue_bound: u64,
    pub(crate) unknown_user: UnknownUser,
    pub(crate) presence: Vec<Arc<dyn Presence>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) hub: Arc<WakeHub>,
    pub(crate) hosting: Arc<Hosting>,
    pub(crate) media_base_url: String,
    /// Its path.
    pub(crate) media_path: String,
    pub(crate) scan_guard: ScanGuard,
    /// Whose word about the client's address is taken.
    pub(crate) proxies: Vec<std::net::IpAddr>,
    /// Kinds of targets that are taken.
    pub(crate) kinds: Vec<WakeKind>,
    pub(crate) web_push: Option<WebPushConfig>,
    /// What browsers subscribe with.
    pub(crate) web_push_key: Option<String>,
}

/// All public calls.
#[derive(Clone)]
pub(crate) struct Calls {
    app: Arc<App>,
    /// All but the one that is called most.
    router: Router,
}

impl Calls {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { router: router(Arc::clone(&app)), app }
    }
}

impl<B> Service<Request<B>> for Calls
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if push::is_push(&self.app, &request) {
            let answer = push::call(Arc::clone(&self.app), request);
            return Box::pin(async move { Ok(answer.await) });
        }
        Box::pin(self.router.call(request))
    }
}

fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route(JWKS_PATH, get(jwks::get))
        .route("/v1/token", post(token::post))
        .route("/v1/me", get(me::get).delete(me::delete))
        .route("/v1/wake-targets/{device}", put(wake::put).delete(wake::delete))
        .route("/v1/wake", get(wake::listen))
        .route("/v1/media/by-hash/{hash}", put(media::put).head(media::head))
        .route("/v1/media/{storage_reference}", delete(media::delete))
        .route("/v1/uploads", tus(post(uploads::create).options(uploads::options)))
        .route(
            "/v1/uploads/{id}",
            tus(get(uploads::get).patch(uploads::patch).delete(uploads::delete).options(uploads::options)),
        )
        .route(app.pushes.path(), any(push::other))
        .route("/openapi.json", get(openapi::get));
    if !app.base_url.path().is_empty() {
        router = router.route(&format!("{}{JWKS_PATH}", app.base_url.path()), get(jwks::get));
    }
    router
        .fallback(fetch::fallback)
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(axum::middleware::from_fn(problem::finish))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app.metrics), observe::request))
        .with_state(app)
}

fn tus(methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    methods.layer(axum::middleware::map_response(uploads::versioned))
}

/// Finds the user of a request, who has to have opted in.
async fn user(app: &App, head: &Parts) -> Result<UserRecord, Problem> {
    match app.authenticator.authenticate(head).await {
        Ok(user) if user.opted_in => Ok(user),
        Ok(_) => Err(Problem::NotOptedIn),
        Err(AuthError::Denied) => Err(Problem::Unauthorized),
        Err(AuthError::Unavailable(cause)) => {
            tracing::warn!(cause = &*cause as &dyn Error, "sessions cannot be checked");
            Err(Problem::Unavailable("sessions cannot be checked now"))
        }
    }
}
