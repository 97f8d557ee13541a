//! Raw HTTP: between the requests and responses of the host and the resources of WASI.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, WasiBody, WasiHttpHooks};

use crate::crash::Crash;
use crate::ctx::Ctx;

/// A body, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A request to a guest.
pub type HttpRequest = http::Request<Body>;

/// A guest's response. Its body comes out of the instance, which has to be driven meanwhile.
pub type HttpResponse = http::Response<Body>;

/// Why a body broke off.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyError(pub String);

/// What a response says of the transport is the host's to say.
const TRANSPORT: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// How WASI's HTTP behaves here: guests see every header and may say any, because the host takes out what is its
/// own; and nothing is sent anywhere.
pub(crate) struct Hooks;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        std::sync::Arc::new(|_| false)
    }

    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<wasmtime_wasi_http::RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

pub(crate) fn lower(
    accessor: &Accessor<Ctx>,
    request: HttpRequest,
) -> Result<Resource<Request>, Crash> {
    let request = request.map(|body| {
        // Guests are told that it broke off, not why: that is between the host and the client.
        body.map_err(|_| Error::ConnectionTerminated)
    });
    accessor.with(|mut store| {
        let ctx = store.get();
        // How reading it goes is of no interest to anybody.
        let (request, _) = Request::from_http(&mut ctx.hooks, request);
        let pushed = ctx.table.push(request);
        pushed.map_err(|error| Crash::Contract(error.to_string()))
    })
}

pub(crate) fn lift(
    accessor: &Accessor<Ctx>,
    response: Resource<Response>,
) -> Result<HttpResponse, Crash> {
    accessor.with(|mut store| {
        let response = store.get().table.delete(response);
        let mut response = response.map_err(|error| Crash::Contract(error.to_string()))?;
        let mut headers: http::HeaderMap = response.headers.into();
        TRANSPORT.iter().for_each(|name| {
            headers.remove(name);
        });
        response.headers = wasmtime_wasi_http::FieldMap::new_immutable(&mut Hooks, headers);
        let response = response
            .into_http(store, async { Ok(()) })
            .map_err(|error| Crash::from_engine(&error))?;
        Ok(response.map(|body| {
            body.map_err(|error| BodyError(format!("{error:?}")))
                .boxed_unsync()
        }))
    })
}
