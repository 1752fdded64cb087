//! The client against receivers that behave and that do not.

use super::*;
use crate::rehearse::wire::{read_request, write_answer};
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Listener, TcpStream as Stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const SHORT: Limits = Limits {
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

fn client(names: Vec<Vec<IpAddr>>, allowed: &[&str], limits: Limits) -> Client {
    let networks: Vec<crate::config::Network> =
        allowed.iter().map(|text| serde_json::from_value((*text).into()).unwrap()).collect();
    let names = FakeNames(names, AtomicUsize::new(0));
    Client::new(Box::new(names), Guard::new(&networks), limits).unwrap()
}

fn local() -> Client {
    client(vec![vec![]], &["127.0.0.0/8"], SHORT)
}

/// A server of which each connection is treated as told, with its number from 0.
fn server(behaviour: impl Fn(usize, Stream) + Send + Sync + 'static) -> SocketAddr {
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

fn post(address: SocketAddr) -> Call {
    Call {
        method: "POST",
        url: Url::parse(&format!("http://{address}/x?a=1")).unwrap(),
        headers: vec![("webhook-id".to_owned(), "msg_1".to_owned())],
        body: Bytes::from_static(b"{\"n\":1}"),
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn call(address: SocketAddr) -> Result<Answer, CallError> {
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
    let address = server(|_, stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        write_answer(&mut &stream, 200, &[], b"").unwrap();
    });
    run(async {
        let client = local();
        for _ in 0..5 {
            assert_eq!(client.call("c/0", &post(address)).await.unwrap().status, 200);
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
