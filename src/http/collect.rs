//! `/collect/{event_type}/{source_id}[/{session_id}]`: where senders deliver. The hot path.
//!
//! In this order, each with its own refusal and before anything has changed: path, source, method,
//! sizes, rate, body, decoding. Then the engine decides, and the answer means *durable*.

use crate::code::Code;
use crate::decode::{
    Batch, DecodeRefusal, Decoded, Piece, RawRequest, Shape, charset, decode, kept, query_pairs,
};
use crate::domain::event::{Event, Reason, Timing};
use crate::domain::facts::RequestFacts;
use crate::domain::names::NAME_CHARS;
use crate::domain::shape::shape_of_json;
use crate::domain::source::Source;
use crate::domain::{extract, names, unseen};
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::{Effective, Receipt, Refusal, Status, Submission};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::http::room::Party;
use crate::http::shared::Http;
use crate::http::{cors, reply, uri};
use actix_web::dev::RequestHead;
use actix_web::http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Takes a request of any sender.
pub async fn collect(http: Data<Http>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let mut page = None;
    let mut answer = match answer(&http, &request, payload, &mut page).await {
        Ok(answer) => {
            http.metrics.accepted.inc();
            answer
        }
        Err(problem) => {
            http.metrics.count_refusal(problem.code);
            problem.answer(&id)
        }
    };
    answer.headers_mut().insert(X_REQUEST_ID, id.header());
    if let Some(page) = page {
        cors::allow(answer.headers_mut(), &page);
    }
    http.metrics.observe_collect(started.elapsed());
    answer
}

/// What the path names.
struct Target {
    event_type: String,
    source: String,
    session: Option<String>,
}

/// The answer; `page` becomes the web page's origin that may read it.
async fn answer(
    http: &Http,
    request: &HttpRequest,
    payload: Payload,
    page: &mut Option<HeaderValue>,
) -> Result<HttpResponse, Problem> {
    uri::spelled(request.uri().path())?;
    // As it was sent: the framework's own decoding would lose an encoded slash.
    let target = target(request.uri().path())?;
    let effective = http.engine.effective()?;
    let source = find(&effective, &target.source)?;
    *page = cors::allowed(request.headers(), &source.origins).cloned();
    match *request.method() {
        Method::HEAD => return Ok(HttpResponse::Ok().finish()),
        Method::OPTIONS => return Ok(options(source, page.is_some())),
        ref method => takes(source, method)?,
    }
    uri::within_sizes(http, request.head())?;
    within_rate(http, source)?;
    let parties = parties(request, source);
    let mut body = http.bodies.read(request.headers(), payload, parties).await?;
    let encoding = text(request.headers(), CONTENT_ENCODING);
    http.bodies.expect(&mut body, encoding).await?;
    let Body { bytes, mut room } = body;
    let turn = http.bodies.turn(room.held().max(bytes.len())).await;
    let decoded = decoded(http, source, &target, request, bytes)?;
    drop(turn);
    let size = decoded.size();
    room.shrink(size);
    http.bodies.hold(&mut room, size).await?;
    let events = Events { http, effective: &effective, source, target: &target, request };
    events.take(decoded).await // and the room is given back behind it
}

/// In whose share the request's room counts.
fn parties(request: &HttpRequest, source: &Source) -> Vec<Party> {
    let address = request.peer_addr().map(|peer| Party::Address(peer.ip()));
    [Party::Source(source.id[..].into())].into_iter().chain(address).collect()
}

/// The parts of a path; a slash too many makes no part.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Whether a path is one that senders deliver to.
pub fn is_collect(path: &str) -> bool {
    parts(path).next() == Some("collect")
}

/// Takes the path apart and decodes its parts.
fn target(path: &str) -> Result<Target, Problem> {
    let parts: SmallVec<[&str; 4]> = parts(path).skip(1).take(4).collect();
    let (event_type, source, session) = match parts[..] {
        [event_type, source] => (event_type, source, None),
        [event_type, source, session] => (event_type, source, Some(session)),
        // A part was there, and empty.
        [] | [_] if path.ends_with('/') || path.contains("//") => {
            return Err(malformed("event type and the source"));
        }
        _ => {
            return Err(Problem::new(
                Code::NotFound,
                "expected /collect/{event_type}/{source_id} or with /{session_id} behind it",
            ));
        }
    };
    let event_type = names::event_type(&decoded_part(event_type));
    Ok(Target {
        event_type: event_type.ok_or_else(|| malformed("event type"))?,
        source: named("source", source)?,
        // A blank one says nothing, as anywhere else.
        session: session
            .map(decoded_part)
            .filter(|text| !is_blank(text))
            .map(|text| name_in("session", &text))
            .transpose()?,
    })
}

/// Whether nobody sees anything in it; controls are no blanks.
fn is_blank(text: &str) -> bool {
    unseen::visible(text).is_empty() && !text.contains(char::is_control)
}

fn named(what: &str, text: &str) -> Result<String, Problem> {
    name_in(what, &decoded_part(text))
}

fn name_in(what: &str, text: &str) -> Result<String, Problem> {
    // A name in a payload loses controls at its ends; in a URL they are a mistake of the caller's.
    let is_clean = !text.trim().contains(char::is_control);
    let name = names::name(text).filter(|_| is_clean);
    name.map(str::to_owned).ok_or_else(|| malformed(what))
}

/// Its percent-escapes become bytes first, and these characters.
fn decoded_part(text: &str) -> Cow<'_, str> {
    charset::text(Cow::from(percent_decode_str(text)))
}

fn malformed(what: &str) -> Problem {
    let detail = format!(
        "expected the {what} as 1 to {NAME_CHARS} percent-encoded characters without control \
         characters"
    );
    Problem::new(Code::MalformedPath, detail)
}

fn find<'e>(effective: &'e Arc<Effective>, id: &str) -> Result<&'e Arc<Source>, Problem> {
    match effective.compiled.sources.get(id) {
        Some(source) if source.enabled => Ok(source),
        Some(_) => Err(Problem::new(Code::SourceDisabled, "the source is switched off")),
        None => Err(Problem::new(
            Code::SourceNotFound,
            "no source of that id is configured; see [[source]] in the config folder",
        )),
    }
}

fn options(source: &Source, is_page: bool) -> HttpResponse {
    let methods = HeaderValue::from_str(&source.methods.join(", "));
    let mut answer = HttpResponse::NoContent().finish();
    if let Ok(methods) = methods {
        if is_page {
            cors::preflight(answer.headers_mut(), methods.clone());
        }
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// Whether the answer depends on the body at all: for one that asks before it sends it.
///
/// # Errors
/// What it would be refused with anyway.
pub fn may_send(http: &Http, head: &RequestHead) -> Result<(), Problem> {
    let target = target(head.uri.path())?;
    let effective = http.engine.effective()?;
    takes(find(&effective, &target.source)?, &head.method)
}

/// Whether a source takes requests of this method.
fn takes(source: &Source, method: &Method) -> Result<(), Problem> {
    match source.methods.iter().any(|known| **known == *method.as_str()) {
        true => Ok(()),
        false => Err(Problem::method(source.methods.join(", "))),
    }
}

fn within_rate(http: &Http, source: &Source) -> Result<(), Problem> {
    // No source verifies yet, so all without a limit of their own have this one.
    let limit = source.rate_limit.unwrap_or(http.limits.unverified_rate.limit);
    http.rates.take(&source.id, limit, http.clock.now()).map_err(|seconds| Problem {
        retry_after: Some(seconds),
        ..Problem::new(
            Code::RateLimited,
            "the source's rate_limit, or limits.unverified_rate, is used up",
        )
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn decoded<'a>(
    http: &'a Http,
    source: &'a Source,
    target: &Target,
    request: &HttpRequest,
    body: Bytes,
) -> Result<Decoded<'a>, Problem> {
    let raw = RawRequest {
        content_type: text(request.headers(), CONTENT_TYPE),
        content_encoding: text(request.headers(), CONTENT_ENCODING),
        query: request.query_string(),
        body,
    };
    let shape = Shape { splits: &source.splits, fields: &source.decode };
    let read = || {
        http.engine.strike(Stage::Decode, &target.event_type);
        decode(&raw, shape, &http.decoding)
    };
    // What the sender says is kept, whatever reading it does.
    let kept = |Panicked| Ok(Decoded::Single(kept(&raw, &http.decoding, Reason::Panicked)));
    walled(read).unwrap_or_else(kept).map_err(|refusal| {
        let code = match refusal {
            DecodeRefusal::BodyTooLarge { .. } | DecodeRefusal::TooLargeAsJson { .. } => {
                Code::BodyTooLarge
            }
            DecodeRefusal::UnsupportedEncoding { .. } => Code::UnsupportedEncoding,
            // No source is verified yet: who sends nonsense may be anybody.
            DecodeRefusal::MalformedBody { .. } => Code::MalformedBody,
        };
        Problem::new(code, refusal.to_string())
    })
}

/// The events of one request.
struct Events<'r> {
    http: &'r Http,
    effective: &'r Effective,
    source: &'r Source,
    target: &'r Target,
    request: &'r HttpRequest,
}

impl Events<'_> {
    async fn take(&self, decoded: Decoded<'_>) -> Result<HttpResponse, Problem> {
        let mut out = Vec::with_capacity(160);
        match decoded {
            Decoded::Single(piece) => {
                let event = self.event(piece, &self.query(), None);
                let session = self.session(&event);
                let receipt = match self.submission(event) {
                    Some(submission) => self.http.engine.ingest(submission).await?,
                    None => DROPPED,
                };
                self.write(&mut out, &receipt, session.as_deref());
            }
            Decoded::Batch(batch) => self.take_batch(&batch, &mut out).await?,
        }
        Ok(self.reply(out))
    }

    /// All events together, or none; but where they are very long together, part by part, because
    /// memory is bounded. A part behind the first waits for the engine rather than be refused.
    async fn take_batch(&self, batch: &Batch<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        let query = self.query();
        out.extend_from_slice(b"{\"events\":[");
        let mut start = 0;
        while start < batch.len() {
            let (part, cost) = self.part(batch, start);
            let room = self.http.bodies.events(cost).await?;
            let until = Instant::now() + self.http.bodies.patience();
            loop {
                match self.take_part(batch, (part.clone(), cost), &query, out).await {
                    Ok(()) => break,
                    Err(Refusal::Overloaded) if start > 0 && Instant::now() < until => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(refusal) => return Err(refusal.into()),
                }
            }
            drop(room);
            start = part.end;
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }

    /// What the query says; nothing, where reading it panics.
    fn query(&self) -> Vec<(String, String)> {
        walled(|| query_pairs(self.request.query_string())).unwrap_or_default()
    }

    /// An event of a batch, put together; its own bytes, where that panics.
    fn piece(&self, batch: &Batch<'_>, place: usize) -> Piece {
        let put_together = || {
            self.http.engine.strike(Stage::Piece, &self.target.event_type);
            batch.piece(place)
        };
        walled(put_together).unwrap_or_else(|Panicked| batch.kept(place, Reason::Panicked))
    }

    /// As many events as are put together at a time, and the bytes that they take.
    fn part(&self, batch: &Batch<'_>, start: usize) -> (Range<usize>, usize) {
        let most = self.http.bodies.part();
        let mut cost = 0;
        let mut end = start;
        while end < batch.len() {
            let more = batch.cost(end) + EVENT_BYTES;
            if end > start && cost + more > most {
                break;
            }
            cost += more;
            end += 1;
        }
        (start..end, cost)
    }

    /// Takes some of the events; where they are refused, nothing of them is written to `out`.
    async fn take_part(
        &self,
        batch: &Batch<'_>,
        (part, cost): (Range<usize>, usize),
        query: &[(String, String)],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let turn = self.http.bodies.turn(cost).await;
        let mut sessions = Vec::with_capacity(part.len());
        let mut taken = Vec::with_capacity(part.len());
        let mut submissions = Vec::with_capacity(part.len());
        for place in part.clone() {
            let event = self.event(self.piece(batch, place), query, Some(place));
            sessions.push(self.session(&event));
            let submission = self.submission(event);
            taken.push(submission.is_some());
            submissions.extend(submission);
        }
        drop(turn);
        let mut receipts = match submissions.is_empty() {
            true => Vec::new(),
            false => self.http.engine.ingest_batch(submissions).await?,
        }
        .into_iter();
        for (place, (is_taken, session)) in part.zip(taken.into_iter().zip(sessions)) {
            if place > 0 {
                out.push(b',');
            }
            // The engine answers each submission, in order.
            let receipt = is_taken.then(|| receipts.next()).flatten().unwrap_or(DROPPED);
            self.write(out, &receipt, session.as_deref());
        }
        Ok(())
    }

    fn event(&self, piece: Piece, query: &[(String, String)], place: Option<usize>) -> Event {
        let headers = self.request.headers();
        let header = |name: &str| {
            let value = headers.get(name)?;
            Some(charset::text(Cow::Borrowed(value.as_bytes())).into_owned())
        };
        let facts = RequestFacts {
            event_type: &self.target.event_type,
            session: self.target.session.as_deref(),
            header: &header,
            query,
            received_at: self.http.clock.now(),
            batch_index: place,
            is_lossy: piece.raw.is_some(),
            passed_over: &|why| self.http.metrics.count_passed_over(why),
        };
        let Effective { compiled, hash_key, .. } = self.effective;
        let read = || match piece.fault {
            None => {
                self.http.engine.strike(Stage::Extract, facts.event_type);
                compiled.extract(self.source, &facts, piece.payload.clone(), hash_key)
            }
            Some(reason) => {
                compiled.set_aside(self.source, &facts, piece.payload.clone(), reason, hash_key)
            }
        };
        // What the sender says is kept, whatever reading it does; and where even setting it aside
        // panics, it is kept without its mark against duplicates.
        let payload = || piece.payload.clone();
        let why = Reason::Panicked;
        let mut event = walled(read)
            .or_else(|Panicked| {
                walled(|| compiled.set_aside(self.source, &facts, payload(), why, hash_key))
            })
            .unwrap_or_else(|Panicked| extract::unread(self.source, &facts, payload(), why));
        event.raw = piece.raw;
        if event.raw.is_some() {
            self.http.metrics.count_lossy(&event.source);
        }
        // What it looks like only explains; the event is kept without it.
        let _explained = walled(|| self.tell_unread(&facts, &event));
        event
    }

    /// Counts what stands in an event and cannot be read, and notes the shape of it.
    fn tell_unread(&self, facts: &RequestFacts<'_>, event: &Event) {
        let (Http { metrics, unread, .. }, compiled) = (self.http, &self.effective.compiled);
        let at = event.received_at;
        if event.timing == Timing::Unread {
            metrics.count_unread_time(&event.source);
            let shape = compiled.unread_time(self.source, facts, event);
            unread.note(self.effective, &event.source, |of| of.times_unread.add(1, shape, at));
        }
        let consents = compiled.unread_consents(event);
        if let Some(last) = consents.last() {
            metrics.consents_unread.inc_by(consents.len() as u64);
            let (count, shape) = (consents.len() as u64, Some(shape_of_json(&last.json)));
            unread.note(self.effective, &event.source, |of| {
                of.consents_unread.add(count, shape, at);
            });
        }
    }

    /// None for an event that the source does not want.
    fn submission(&self, event: Event) -> Option<Submission> {
        (!self.effective.compiled.unidentified_drop(&event)).then(|| Submission {
            event,
            durability: self.source.durability,
            dedupe_window_ms: self.source.dedupe_window_ms,
        })
    }

    /// The session, where the answer is to name it.
    fn session(&self, event: &Event) -> Option<Box<str>> {
        event.session.clone().filter(|_| self.source.respond_with_profile)
    }

    fn write(&self, out: &mut Vec<u8>, receipt: &Receipt, session: Option<&str>) {
        self.http.metrics.count_event(receipt.status);
        let told = self.source.respond_with_profile.then_some(session);
        reply::write(out, receipt, self.source.durability, told);
    }

    /// Ours, or what the source wants instead. Exactly 200: several senders count nothing else.
    fn reply(&self, out: Vec<u8>) -> HttpResponse {
        let Some(own) = &self.source.respond else {
            return HttpResponse::Ok().content_type("application/json").body(out);
        };
        let status = own.status.and_then(|status| StatusCode::from_u16(status).ok());
        HttpResponse::build(status.unwrap_or(StatusCode::OK))
            .content_type(own.kind.as_deref().unwrap_or("text/plain"))
            .body(own.body.clone().unwrap_or_default())
    }
}

/// What an event takes beside its payload, about: itself, its way through the engine, its answer.
const EVENT_BYTES: usize = 512;
/// How long a part of a batch waits before the engine is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// What was not even handed to the engine.
const DROPPED: Receipt = Receipt { event_id: None, status: Status::Dropped, profile_id: None };
