//! Behind nginx, the stand-in for a tunnel: it names the client, and cuts what is silent for 100 s.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sync_engine::Event;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::device::{Device, Place, dial};
use crate::relay::Relay;
use crate::world::{heard, roomy};

/// nginx, until it is dropped.
struct Proxy {
    child: Child,
    addr: SocketAddr,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    async fn start(relay: SocketAddr) -> Result<Self> {
        let folder = TempDir::new()?;
        let addr = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let dir = folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error;
             events {{}}
             http {{
                 access_log off;
                 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
                 uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
                 map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
                 server {{
                     listen {addr};
                     location / {{
                         proxy_pass http://{relay};
                         proxy_http_version 1.1;
                         proxy_set_header Upgrade $http_upgrade;
                         proxy_set_header Connection $connection_upgrade;
                         proxy_set_header Host $host;
                         proxy_set_header CF-Connecting-IP $remote_addr;
                         proxy_read_timeout 100s;
                         proxy_send_timeout 100s;
                     }}
                 }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .context("nginx is missing (Debian: apt-get install nginx-light)")?;
        let proxy = Self { child, addr, _folder: folder };
        for _ in 0..100 {
            if TcpStream::connect(addr).await.is_ok() {
                return Ok(proxy);
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("nginx does not listen");
    }

    fn client(&self, n: u8) -> Place {
        Place { relay: self.addr, from: IpAddr::V4(Ipv4Addr::new(127, 0, 0, n)), window: None }
    }
}

pub(crate) async fn run(program: &Path, minutes: u64) -> Result<()> {
    let relay = Relay::start(program, roomy()).await?;
    let proxy = Proxy::start(relay.addr).await?;

    // Of one client's misses the other knows nothing.
    let mut asked = 0;
    while lookup(proxy.client(2)).await? != 429 {
        asked += 1;
        ensure!(asked < 100, "nobody stops a client from trying invites");
    }
    ensure!(lookup(proxy.client(3)).await? == 404, "one client is stopped for another's misses");
    println!(
        "{asked} lookups of one client were answered, the next one not, and another client's still were"
    );

    let one = Device::new(proxy.client(4))?;
    one.push(b"first".to_vec(), None).await?;
    one.connect().await?;
    let other = Device::new(proxy.client(5))?;
    other.join(one.invite().await?).await?;
    let mut pair = [one, other];
    sleep(Duration::from_secs(60 * minutes)).await;
    for device in &mut pair {
        while let Ok((_, event)) = device.events.try_recv() {
            ensure!(!matches!(event, Event::Disconnected { .. }), "an idle session was cut");
        }
    }
    let blob = pair[0].push(b"still there".to_vec(), None).await?;
    heard(&mut pair[1], blob).await?;
    println!("two sessions survived {minutes} idle minutes");
    Ok(())
}

/// Asks for an invite that is not there; gives the status.
async fn lookup(place: Place) -> Result<u16> {
    let mut stream = dial(place).await?;
    let request = format!("GET /invite/{:0>26} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n", 7);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    answer.get(9..12).context("no answer")?.parse().context("no status")
}
