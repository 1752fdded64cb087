//! Listeners: how they are opened, and how they serve.

use crate::config::Config;
use crate::http::body::cores;
use crate::http::connection::{Deadlines, Stream};
use crate::http::shared::{Faces, Http};
use crate::http::{frame, guard, routes, wall};
use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, Server, Service as _, ServiceFactory, fn_factory, fn_service};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of answers that the system holds for a peer to read; it doubles that for its own use.
pub(super) const SEND_BYTES: usize = 256 << 10;

/// Bytes of answers that wait for a peer to read, beside the one that is being written.
pub(super) const WRITE_BYTES: usize = 32 << 10;

/// Opens the listener of an address, so that a taken one is found before anything is started.
///
/// # Errors
/// As the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // Each connection has this from its listener: what nobody reads is bounded in the system, too.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BYTES)?;
    Ok(listener)
}

/// Serves one listener until the returned server is stopped.
///
/// # Errors
/// As the system says.
pub fn serve(
    http: &web::Data<Http>,
    config: &Config,
    listener: TcpListener,
    faces: Faces,
) -> io::Result<Server> {
    let workers = match faces {
        Faces::Admin => 1,
        Faces::Both | Faces::Collect => config.server.workers.unwrap_or_else(cores).max(1),
    };
    let limits = &http.limits;
    let address = listener.local_addr()?;
    let data = http.clone();
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(limits.connections.div_ceil(workers))
        .shutdown_timeout(config.server.drain.duration().as_secs().max(1))
        .disable_signals()
        .listen("http", listener, move || service(data.clone(), faces, address))?;
    Ok(server.run())
}

/// What serves the connections of one worker.
pub(super) fn service(
    http: web::Data<Http>,
    faces: Faces,
    address: SocketAddr,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    let limits = &http.limits;
    let deadlines = Deadlines {
        patience: limits.slow_request.duration(),
        keep_alive: limits.keep_alive.duration(),
        rate: limits.least_rate.bytes() as u64,
    };
    let data = http.clone();
    let app = App::new()
        .app_data(data.clone())
        .app_data(guard::Listening(address))
        .configure(|app| routes::install(app, &data, faces))
        .wrap_fn(wall::walled)
        .wrap(from_fn(frame::frame))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let asked = http.clone();
    let stopping = http.stopping.clone();
    let factory = HttpService::build()
        .keep_alive(deadlines.keep_alive)
        .client_request_timeout(deadlines.patience)
        .client_disconnect_timeout(Duration::from_secs(1))
        .h1_write_buffer_size(WRITE_BYTES)
        .local_addr(address)
        .graceful_shutdown_signal(move || {
            let mut stopping = stopping.clone();
            // Without a sender nobody stops it any more, so it has stopped.
            async move { drop(stopping.wait_for(|is_stopping| *is_stopping).await) }
        })
        .on_connect_ext(|stream: &Stream, data| {
            data.insert(Rc::clone(stream.life()));
        })
        .expect(fn_service(move |request| ready(frame::go_on(&asked, faces, request))))
        .h1(map_config(app, move |()| AppConfig::default()));
    fn_factory(move || {
        let (made, http) = (factory.new_service(()), http.clone());
        async move {
            let talk = Rc::new(made.await?);
            Ok::<_, ()>(fn_service(move |socket: TcpStream| {
                let (talk, metrics) = (Rc::clone(&talk), Arc::clone(&http.metrics));
                async move {
                    let peer = socket.peer_addr().ok();
                    let stream = Stream::new(socket, deadlines, Arc::clone(&metrics));
                    let life = Rc::clone(stream.life());
                    tokio::select! {
                        // Its errors are the peer's, and counted where they are answered.
                        _ = talk.call((stream, peer)) => {}
                        why = life.watch() => metrics.count_slow(why),
                    }
                    Ok(())
                }
            }))
        }
    })
}
