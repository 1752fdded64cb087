//! The frame of every request, whatever its path: what holds for all of them before they are routed,
//! and when the connection may be idle again. And what is asked before a sender is told to go on.

use crate::code::Code;
use crate::http::body::{announced, too_large};
use crate::http::connection::{Life, Told};
use crate::http::pace::Pace;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::http::room::{Party, Room};
use crate::http::shared::{Faces, Http};
use crate::http::uri::{spelled, within_sizes};
use crate::http::{collect, routes};
use actix_http::{Request, Response};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, RequestHead, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::timeout_at;

/// Holds sizes and spelling to their limits, lets `HEAD` work as `GET` does, gives bodies a pace,
/// and tells the connection when a request begins and when its answer is over.
pub async fn frame(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Told>, Error> {
    let life = request.conn_data::<Rc<Life>>().cloned();
    if let Some(life) = &life {
        begin(life, &mut request);
    }
    // Told in any case, whatever becomes of the answer.
    let told = Told::new(BoxBody::new(()), life);
    let Some(http) = request.app_data::<Data<Http>>().cloned() else {
        let answer = next.call(request).await?;
        return Ok(answer.map_body(|_, body| told.with(body.boxed())));
    };
    let is_head = request.method() == Method::HEAD;
    let is_collect = collect::is_collect(request.path());
    if !is_collect {
        if let Err(problem) = readable(&http, request.head()) {
            http.metrics.count_refusal(problem.code);
            let answer = problem.answer(&RequestId::of(request.headers()));
            return Ok(request.into_response(answer).map_body(|_, body| told.with(body)));
        }
        if is_head {
            request.head_mut().method = Method::GET;
        }
    }
    let kept = Rc::new(RefCell::new(Kept::default()));
    if !is_collect {
        pace(&http, &mut request, &kept);
    }
    let id = RequestId::of(request.headers());
    let mut answer = next.call(request).await?.map_into_boxed_body();
    if let Some(problem) = kept.borrow_mut().problem.take() {
        let (request, _) = answer.into_parts();
        http.metrics.count_refusal(problem.code);
        answer = ServiceResponse::new(request, problem.answer(&id));
    }
    Ok(answer.map_body(|_, body| match body.size() {
        // A body without an end is not begun for one who does not want it.
        BodySize::Stream if is_head => told,
        _ => told.with(body),
    }))
}

/// Tells the connection that a request has begun, and when its body has come.
fn begin(life: &Rc<Life>, request: &mut ServiceRequest) {
    let payload = request.take_payload();
    let is_empty = matches!(payload, Payload::None);
    match announced(request.headers()) {
        _ if is_empty => life.begin(0),
        Some(said) => life.begin(said),
        None => {
            life.begin(usize::MAX); // in chunks: its end is known when it is there
            let life = Rc::clone(life);
            let told = payload.chain(stream::poll_fn(move |_| {
                life.is_read();
                Poll::Ready(None)
            }));
            let told: PayloadStream = Box::pin(told);
            return request.set_payload(Payload::from(told));
        }
    }
    request.set_payload(payload);
}

/// As the framework takes it.
type PayloadStream = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// What is kept of a body until its request is answered.
#[derive(Default)]
struct Kept {
    room: Option<Room>,
    problem: Option<Problem>,
}

/// Lets the request's body come at the least rate or not at all, and take room as it comes.
fn pace(http: &Data<Http>, request: &mut ServiceRequest, kept: &Rc<RefCell<Kept>>) {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return;
    }
    let parties = request.peer_addr().map(|peer| Party::Address(peer.ip()));
    kept.borrow_mut().room = Some(http.bodies.room(parties.into_iter().collect()));
    let pace = Pace::new(http.bodies.patience(), http.limits.least_rate.bytes() as u64);
    let from = Paced { http: http.clone(), payload, kept: Rc::clone(kept), pace, bytes: 0 };
    let paced: PayloadStream = Box::pin(stream::unfold(Some(from), |from| async move {
        let mut from = from?;
        match from.next().await {
            Ok(chunk) => Some((Ok(chunk?), Some(from))),
            Err(error) => Some((Err(error), None)),
        }
    }));
    request.set_payload(Payload::from(paced));
}

struct Paced {
    http: Data<Http>,
    payload: Payload,
    kept: Rc<RefCell<Kept>>,
    pace: Pace,
    bytes: usize,
}

impl Paced {
    async fn next(&mut self) -> Result<Option<Bytes>, PayloadError> {
        let Ok(next) = timeout_at(self.pace.until(), self.payload.next()).await else {
            let problem = Problem::new(
                Code::TooSlow,
                "the body came slower than limits.least_rate for limits.slow_request",
            );
            return Err(self.fail(problem));
        };
        let chunk = next.transpose()?;
        let len = chunk.as_ref().map_or(0, Bytes::len);
        self.pace.progress(len);
        self.bytes += len;
        // Taken out while it is waited for: nothing is borrowed across a wait.
        let room = self.kept.borrow_mut().room.take();
        if let Some(mut room) = room {
            let held = self.http.bodies.hold(&mut room, self.bytes).await;
            self.kept.borrow_mut().room = Some(room);
            held.map_err(|problem| self.fail(problem))?;
        }
        Ok(chunk)
    }

    fn fail(&self, problem: Problem) -> PayloadError {
        self.kept.borrow_mut().problem = Some(problem);
        PayloadError::Io(io::ErrorKind::TimedOut.into())
    }
}

/// Whether a request's target and headers are within their limits, and can be read.
///
/// # Errors
/// 414, 431, or 400 of a path with a bad escape.
pub fn readable(http: &Http, head: &RequestHead) -> Result<(), Problem> {
    within_sizes(http, head)?;
    spelled(head.uri.path())
}

/// Whether a sender that asks first is told to go on with its body: not when the answer would be a
/// refusal whatever it sends.
pub fn go_on(http: &Http, faces: Faces, request: Request) -> Result<Request, Response<BoxBody>> {
    let head = request.head();
    let path = head.uri.path();
    let refused = readable(http, head).and_then(|()| {
        match collect::is_collect(path) && faces != Faces::Admin {
            true => collect::may_send(http, head)?,
            false if routes::is_known(path, faces) => {}
            false => return Err(Problem::not_found("page")),
        }
        let limit = http.limits.body.bytes();
        match announced(&head.headers) {
            Some(said) if said > limit => Err(too_large(limit)),
            _ => Ok(()),
        }
    });
    match refused {
        Ok(()) => Ok(request),
        Err(problem) => {
            http.metrics.count_refusal(problem.code);
            let answer: HttpResponse = problem.answer(&RequestId::of(&head.headers));
            Err(answer.into())
        }
    }
}
