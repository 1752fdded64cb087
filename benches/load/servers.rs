//! The servers that are compared, each a process of its own: the program, and the least that a
//! server on the same framework could do.

use crate::workload::configuration;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, anyhow};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The command by which this program plays the bare server.
pub const BARE: &str = "bare-server";

/// A server under load; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// This very program as the bare server.
    pub fn bare() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(BARE);
        Self::start(command)
    }

    /// The program with everything at this durability, with a configuration and data in `folder`.
    pub fn selfsame(
        program: &Path,
        folder: &Path,
        durability: &str,
        snapshots: &str,
    ) -> anyhow::Result<Self> {
        let config = folder.join("config");
        std::fs::create_dir_all(&config)?;
        let text = format!(
            "[server]\naddress = \"127.0.0.1:0\"\n[snapshots]\nevery = \"{snapshots}\"\n{}",
            configuration(durability)
        );
        std::fs::write(config.join("bench.toml"), text)?;
        let mut command = Command::new(program);
        command.args(["serve", "--rehearse", "--config"]).arg(config);
        command.arg("--data").arg(folder.join("data"));
        Self::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let out = child.stdout.take().context("the server has no stdout")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).map_err(|_| anyhow!("the server did not start: {line}"))?;
        let address = ready["ready"]["address"].as_str().context("no address")?.parse()?;
        Ok(Self { child, address })
    }

    /// The process id, to profile it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever it says, it is over: the folder is thrown away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the program lies: what cargo names, else beside this one.
pub fn program() -> PathBuf {
    option_env!("CARGO_BIN_EXE_selfsame")
        .map_or_else(|| "target/release/selfsame".into(), Into::into)
}

/// The fields that the program reads too.
#[derive(Deserialize)]
struct Body<'a> {
    id: &'a str,
    at: u64,
    #[serde(borrow)]
    user: User<'a>,
}

#[derive(Deserialize)]
struct User<'a> {
    id: u64,
    name: &'a str,
    plan: &'a str,
    email: Option<&'a str>,
}

/// Takes a body apart and answers as many bytes as the program does.
async fn collect(body: web::Bytes) -> HttpResponse {
    let Ok(event) = serde_json::from_slice::<Body<'_>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let User { id, name, plan, email } = event.user;
    let seen = id ^ event.at ^ (name.len() + plan.len() + email.map_or(0, str::len)) as u64;
    HttpResponse::Ok().content_type("application/json").body(format!(
        r#"{{"event_id":"{seen:016x}{}","status":"stored","durability":"fsynced"}}"#,
        &event.id[..20]
    ))
}

/// Serves until stdin ends, on a free port that is told on stdout as the program tells it.
pub fn serve_bare() -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let app = || {
            let route = web::post().to(collect);
            App::new().route("/collect/{event_type}/{source}", route)
        };
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let server = HttpServer::new(app).workers(workers).bind("127.0.0.1:0")?;
        let address = server.addrs()[0];
        println!("{}", serde_json::json!({ "ready": { "address": address } }));
        let running = server.run();
        let handle = running.handle();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(handle.stop(false));
            std::process::exit(0);
        });
        running.await
    })?;
    Ok(())
}
