//! The client against receivers that behave and that do not.

use super::*;
use crate::domain::campaign::retry::Verdict;
use crate::outbound::resolve::Resolving;
use crate::rehearse::wire::{read_request, write_answer};
use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as Listener, TcpStream as Stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(super) const SHORT: Limits = Limits {
    connect: Duration::from_millis(300),
    exchange: Duration::from_millis(600),
    kept: 16 * 1024,
    idle: Duration::from_secs(30),
};

/// Answers with the next of its lists each time, and goes on with the last one.
struct FakeNames(Vec<Vec<IpAddr>>, AtomicUsize);

impl Resolver for FakeNames {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        let time = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let addresses = self.0[time].clone();
        Box::pin(async move { Ok(addresses) })
    }
}

pub(super) fn client(names: Vec<Vec<IpAddr>>, allowed: &[&str], limits: Limits) -> Client {
    let networks: Vec<crate::config::Network> =
        allowed.iter().map(|text| serde_json::from_value((*text).into()).unwrap()).collect();
    let names = FakeNames(names, AtomicUsize::new(0));
    Client::new(Box::new(names), Guard::new(&networks), limits).unwrap()
}

pub(super) fn local() -> Client {
    client(vec![vec![]], &["127.0.0.0/8"], SHORT)
}

/// A server of which each connection is treated as told, with its number from 0.
pub(super) fn server(behaviour: impl Fn(usize, Stream) + Send + Sync + 'static) -> SocketAddr {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let behaviour = Arc::new(behaviour);
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, behaviour) = (stream.unwrap(), Arc::clone(&behaviour));
            thread::spawn(move || behaviour(number, stream));
        }
    });
    address
}

/// A server that reads one request per connection and then writes this.
fn says(answer: &'static [u8]) -> SocketAddr {
    server(move |_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        let _ = stream.write_all(answer);
    })
}

pub(super) fn post(address: SocketAddr) -> Call {
    Call {
        method: "POST",
        url: Url::parse(&format!("http://{address}/x?a=1")).unwrap(),
        headers: vec![("webhook-id".to_owned(), "msg_1".to_owned())],
        body: Bytes::from_static(b"{\"n\":1}"),
        timeout: None,
    }
}

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

pub(super) fn call(address: SocketAddr) -> Result<Answer, CallError> {
    run(async { local().call("c/0", &post(address)).await })
}

#[test]
fn what_is_sent_arrives_and_connections_are_used_again_per_endpoint() {
    let address = server(|number, stream| {
        let mut reader = BufReader::new(&stream);
        while let Ok(Some(request)) = read_request(&mut reader) {
            let seen =
                format!("{number} {} {} {:?}", request.method, request.path, request.headers);
            let body = [seen.as_bytes(), &request.body].concat();
            write_answer(&mut &stream, 200, &[], &body).unwrap();
        }
    });
    run(async {
        let client = local();
        let said = |answer: Answer| String::from_utf8(answer.body).unwrap();
        let first = said(client.call("c/0", &post(address)).await.unwrap());
        assert!(first.starts_with("0 POST /x?a=1 "), "{first}");
        assert!(first.contains(&format!("\"host\": \"{address}\"")), "{first}");
        assert!(first.contains("\"webhook-id\": \"msg_1\"") && first.ends_with("{\"n\":1}"));
        tokio::task::yield_now().await;
        assert!(said(client.call("c/0", &post(address)).await.unwrap()).starts_with("0 "));
        assert!(said(client.call("d/0", &post(address)).await.unwrap()).starts_with("1 "));
    });
}

#[test]
fn statuses_and_retry_after_are_told_and_redirects_not_followed() {
    let moved =
        says(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(call(moved).unwrap().status, 302);
    let busy = says(b"HTTP/1.1 429 -\r\nretry-after: 7\r\ncontent-length: 3\r\n\r\nwhy");
    let answer = call(busy).unwrap();
    assert_eq!((answer.status, answer.retry_after.as_deref()), (429, Some("7")));
    assert_eq!(answer.body, b"why");
    let past = says(b"HTTP/1.1 503 -\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    assert!(call(past).unwrap().retry_after.is_some());
    assert_eq!(call(says(b"HTTP/1.1 410 Gone\r\n\r\n")).unwrap().status, 410);
}

#[test]
fn slow_ones_time_out() {
    let silent = server(|_, stream| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    assert!(matches!(call(silent), Err(CallError::Timeout("the exchange", _))));
    let dripping = server(|_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        let _ = stream.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 100\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(matches!(call(dripping), Err(CallError::Timeout("the exchange", _))));
    let short = Call { timeout: Some(Duration::from_millis(50)), ..post(silent) };
    let patient = Limits { exchange: Duration::from_secs(600), ..SHORT };
    let client = client(vec![vec![]], &["127.0.0.0/8"], patient);
    let error = run(async { client.call("c/0", &short).await }).unwrap_err();
    assert!(
        matches!(error, CallError::Timeout("the exchange", within) if within.as_millis() == 50)
    );
}

#[test]
fn of_a_long_body_the_beginning_is_kept_and_the_rest_not_read() {
    let endless: fn(usize, Stream) = |_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        let _ = stream.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 104857600\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    };
    let answer = call(server(endless)).unwrap();
    assert_eq!((answer.body.len(), answer.is_cut), (16 * 1024, true));
    let chunked: fn(usize, Stream) = |_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        let _ = stream.write_all(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"4\r\nxxxx\r\n").is_ok() {}
    };
    assert!(call(server(chunked)).unwrap().is_cut);
}

#[test]
fn broken_exchanges_are_tried_again_later() {
    let failures: [fn(usize, Stream); 5] = [
        |_, stream| drop(stream),
        |_, stream| stream.shutdown(std::net::Shutdown::Write).unwrap(),
        |_, mut stream| stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap(),
        |_, mut stream| {
            let _ = read_request(&mut BufReader::new(&stream));
            let _ = stream.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\nhalf");
        },
        |_, mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 -\r\n");
            while stream.write_all(b"x-many: y\r\n").is_ok() {}
        },
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        let error = call(server(failure)).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Again, "{number}: {error}");
    }
    let nobody = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    assert!(matches!(call(nobody), Err(CallError::Connect(_))));
}

#[test]
fn a_connection_closed_between_two_calls_costs_nothing() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let address = server(move |_, stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        write_answer(&mut &stream, 200, &[], b"").unwrap();
        drop(stream);
        closed.send(()).unwrap();
    });
    run(async {
        let client = local();
        for _ in 0..20 {
            assert_eq!(client.call("c/0", &post(address)).await.unwrap().status, 200);
            is_closed.recv().unwrap();
        }
    });
}

#[test]
fn an_address_is_judged_after_every_look_up_and_pinned() {
    let address = says(b"HTTP/1.1 200 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let mut named = post(address);
    named.url = Url::parse(&format!("http://rebind.example:{}/", address.port())).unwrap();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    run(async {
        let allowed = client(vec![vec![loopback]], &["127.0.0.0/8"], SHORT);
        assert_eq!(allowed.call("c/0", &named).await.unwrap().status, 200);
        let fresh = client(
            vec![vec![loopback], vec!["10.0.0.1".parse().unwrap()]],
            &["127.0.0.0/8"],
            SHORT,
        );
        assert_eq!(fresh.call("c/0", &named).await.unwrap().status, 200);
        let error = fresh.call("c/0", &named).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(_)), "{error}");
        assert_eq!(error.verdict(), Verdict::Final);
        for host in [
            "127.1",
            "localhost",
            "0x7f000001",
            "[::ffff:127.0.0.1]",
            "a.localhost",
            "rebind.example",
        ] {
            named.url = Url::parse(&format!("http://{host}:{}/", address.port())).unwrap();
            let closed = client(vec![vec![loopback]], &[], SHORT);
            let error = closed.call("c/0", &named).await.unwrap_err();
            assert!(matches!(error, CallError::Refused(_)), "{host}: {error}");
        }
    });
}

#[test]
fn a_plain_server_gets_no_tls_and_a_bad_header_is_not_sent() {
    let address = server(|_, mut stream| {
        let mut hello = [0; 16];
        let _ = stream.read(&mut hello);
        let _ = stream.write_all(b"HTTP/1.1 400 -\r\n\r\n");
    });
    run(async {
        let mut secure = post(address);
        secure.url = Url::parse(&format!("https://{address}/")).unwrap();
        let error = local().call("c/0", &secure).await.unwrap_err();
        assert!(matches!(error, CallError::Tls(_)), "{error}");
        let mut bad = post(address);
        bad.headers.push(("x-key".to_owned(), "se\ncret".to_owned()));
        let error = local().call("c/0", &bad).await.unwrap_err();
        assert!(matches!(error, CallError::Invalid(_)) && !error.to_string().contains("cret"));
    });
}

#[test]
fn a_reset_at_any_point_is_tried_again_later() {
    let points: [fn(&Stream); 5] = [
        |_| {},
        |mut stream| drop(stream.read(&mut [0; 16])),
        |stream| drop(read_request(&mut BufReader::new(stream))),
        |mut stream| {
            let _ = read_request(&mut BufReader::new(stream));
            let _ = stream.write_all(b"HTTP/1.1 20");
        },
        |mut stream| {
            let _ = read_request(&mut BufReader::new(stream));
            let _ = stream.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\nhalf");
        },
    ];
    for (number, point) in points.into_iter().enumerate() {
        let resets = server(move |_, stream| {
            point(&stream);
            // Closed so, the peer hears RST rather than FIN.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        });
        let error = call(resets).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Again, "{number}: {error}");
    }
}

#[test]
fn a_kept_connection_that_is_reset_is_replaced() {
    let address = server(|_, stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        write_answer(&mut &stream, 200, &[], b"").unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    run(async {
        let client = local();
        let mut delivered = 0;
        for _ in 0..5 {
            // The reset may overtake the answer; never is it taken for one.
            match client.call("c/0", &post(address)).await {
                Ok(answer) => delivered += usize::from(answer.status == 200),
                Err(error) => assert_eq!(error.verdict(), Verdict::Again, "{error}"),
            }
        }
        assert!(delivered > 0);
    });
}

#[test]
fn a_compressed_answer_is_neither_asked_for_nor_swollen() {
    let address = server(|_, stream| {
        let request = read_request(&mut BufReader::new(&stream)).unwrap().unwrap();
        assert!(!request.headers.contains_key("accept-encoding"));
        let gzip = [("content-encoding".to_owned(), "gzip".to_owned())];
        let zeros = vec![0; 10 << 20];
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&zeros).unwrap();
        write_answer(&mut &stream, 200, &gzip, &bomb.finish().unwrap()).unwrap();
    });
    let answer = call(address).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(&[0x1f, 0x8b]) && answer.body.len() <= 16 * 1024);
}

#[test]
fn odd_but_whole_answers_are_taken() {
    assert_eq!(
        call(says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 -\r\n\r\n")).unwrap().status,
        204
    );
    let early =
        b"HTTP/1.1 103 -\r\nlink: </x>\r\n\r\nHTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(call(says(early)).unwrap().body, b"ok");
    assert_eq!(call(says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")).unwrap().body, b"until the end");
    let rubbish = says(b"HTTP/1.1 429 -\r\nretry-after: \xff\xfe\r\ncontent-length: 0\r\n\r\n");
    let answer = call(rubbish).unwrap();
    assert_eq!((answer.status, answer.retry_after), (429, None));
    // The answer comes before the request is read whole, and the connection is closed behind it.
    let hasty = server(|_, mut stream| {
        let _ = stream.read(&mut [0; 1]);
        let _ =
            stream.write_all(b"HTTP/1.1 503 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = read_request(&mut BufReader::new(&stream));
    });
    assert_eq!(call(hasty).unwrap().status, 503);
}

#[test]
fn of_mixed_answers_only_what_may_be_dialled_is() {
    let address = says(b"HTTP/1.1 200 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let mut named = post(address);
    named.url = Url::parse(&format!("http://mixed.example:{}/", address.port())).unwrap();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let private: [IpAddr; 3] =
        ["10.0.0.1", "::ffff:192.168.0.1", "64:ff9b::10.0.0.1"].map(|one| one.parse().unwrap());
    run(async {
        for place in 0..=private.len() {
            let mut answer = private.to_vec();
            answer.insert(place, loopback);
            let client = client(vec![answer], &["127.0.0.0/8"], SHORT);
            assert_eq!(client.call("c/0", &named).await.unwrap().status, 200, "{place}");
        }
        let closed = client(vec![private.to_vec()], &["127.0.0.0/8"], SHORT);
        let error = closed.call("c/0", &named).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(_)), "{error}");
        let nowhere = client(vec![vec![]], &["127.0.0.0/8"], SHORT);
        let error = nowhere.call("c/0", &named).await.unwrap_err();
        assert!(matches!(error, CallError::Name(_)), "{error}");
        assert_eq!(error.verdict(), Verdict::Again);
    });
}

/// A server's certificate for a name, and the authority that signed it.
fn certificate(name: &str, year: i32) -> (rcgen::Certificate, rcgen::KeyPair, RootCertStore) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let mut server = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    server.not_before = rcgen::date_time_ymd(year, 1, 1);
    server.not_after = rcgen::date_time_ymd(year + 1, 1, 1);
    (server.signed_by(&own, &issuer).unwrap(), own, roots)
}

/// A server that speaks TLS with this certificate and answers 200.
fn secure(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    server(move |_, stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
        while let Ok(Some(_)) = read_request(&mut stream) {
            if write_answer(stream.get_mut(), 200, &[], b"secure").is_err() {
                break;
            }
        }
    })
}

#[test]
fn a_certificate_has_to_be_trusted_of_that_name_and_in_its_time() {
    let this_year = 2026.max(i32::try_from(years_now()).unwrap());
    let judged = |name: &str, year: i32, is_trusted: bool| {
        let (certificate, key, roots) = certificate(name, year);
        let address = secure(&certificate, &key);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let roots = if is_trusted { roots } else { RootCertStore::empty() };
        let names = FakeNames(vec![vec![loopback]], AtomicUsize::new(0));
        let guard = Guard::new(&[serde_json::from_value("127.0.0.0/8".into()).unwrap()]);
        let limits =
            Limits { exchange: Duration::from_secs(20), connect: Duration::from_secs(20), ..SHORT };
        let client = Client::trusting(Box::new(names), guard, limits, roots).unwrap();
        let mut call = post(address);
        call.url = Url::parse(&format!("https://esp.example:{}/", address.port())).unwrap();
        run(async {
            let first = client.call("c/0", &call).await?;
            assert_eq!(client.call("c/0", &call).await?.body, b"secure");
            Ok::<Answer, CallError>(first)
        })
    };
    assert_eq!(judged("esp.example", this_year, true).unwrap().body, b"secure");
    for (name, year, is_trusted) in [
        ("esp.example", this_year, false),
        ("other.example", this_year, true),
        ("esp.example", this_year - 3, true),
        ("esp.example", this_year + 2, true),
    ] {
        let error = judged(name, year, is_trusted).unwrap_err();
        assert!(matches!(error, CallError::Tls(_)), "{name} {year}: {error}");
        assert_eq!(error.verdict(), Verdict::Again);
    }
}

/// The year that certificates are judged by, which is the machine's.
fn years_now() -> u64 {
    let since_1970 = crate::clock::Clock::system().now().0 / 1_000;
    1970 + u64::try_from(since_1970).unwrap() / 31_556_952
}
