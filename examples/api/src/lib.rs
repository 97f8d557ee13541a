//! How does an actor answer plain HTTP? With a handler of requests below
//! `/gateway/api/request/…?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=a`
//! (or `client.api.getOrCreate("a").fetch("/notes")`): notes to list, make, read and delete, an answer that is
//! written piece by piece, and a body that is read that way.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Api {
    notes: Vec<Note>,
    last_id: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Note {
    id: u32,
    text: String,
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[derive(Serialize)]
struct Lines {
    lines: usize,
    bytes: usize,
}

#[actor]
impl Api {
    #[on_request]
    async fn request(cx: Context<Self>, mut request: Request) -> Result<Response> {
        let (method, path) = (request.method().to_owned(), request.path().to_owned());
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        Ok(match (method.as_str(), segments.as_slice()) {
            ("GET", ["notes"]) => cx.read(|api| Response::json(&api.notes)),
            ("POST", ["notes"]) => match request.json::<NewNote>().await {
                Ok(new) => {
                    let note = cx.update(|api| api.add(new.text));
                    Response::json(&note).with_status(201)
                }
                Err(_) => Response::text("a note is {\"text\": \"...\"}\n").with_status(400),
            },
            ("GET", ["notes", id]) => match cx.read(|api| api.find(id).cloned()) {
                Some(note) => Response::json(&note),
                None => not_found(),
            },
            ("DELETE", ["notes", id]) => {
                let is_removed = cx.update(|api| api.remove(id));
                if is_removed {
                    Response::new(204)
                } else {
                    not_found()
                }
            }
            ("GET", ["countdown"]) => countdown(),
            ("POST", ["lines"]) => Response::json(&count_lines(&mut request).await?),
            _ => not_found(),
        })
    }

    fn add(&mut self, text: String) -> Note {
        self.last_id += 1;
        let note = Note {
            id: self.last_id,
            text,
        };
        self.notes.push(note.clone());
        note
    }

    fn find(&self, id: &str) -> Option<&Note> {
        self.notes.iter().find(|note| note.has_id(id))
    }

    /// Whether there was such a note.
    fn remove(&mut self, id: &str) -> bool {
        let count = self.notes.len();
        self.notes.retain(|note| !note.has_id(id));
        self.notes.len() < count
    }
}

impl Note {
    fn has_id(&self, id: &str) -> bool {
        id.parse::<u32>() == Ok(self.id)
    }
}

/// The head goes out at once, a line every 100 ms. If the client goes away, `write` fails, and that is all.
fn countdown() -> Response {
    let response = Response::stream(|mut body: Body| async move {
        for n in (0..=10).rev() {
            body.write(format!("{n}\n").into_bytes()).await?;
            time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    response.with_header("content-type", "text/plain")
}

/// Only one piece of the body is in memory at a time.
async fn count_lines(request: &mut Request) -> Result<Lines> {
    let (mut lines, mut bytes) = (0, 0);
    while let Some(chunk) = request.chunk().await? {
        lines += chunk.iter().filter(|&&byte| byte == b'\n').count();
        bytes += chunk.len();
    }
    Ok(Lines { lines, bytes })
}

fn not_found() -> Response {
    Response::text("there is nothing here\n").with_status(404)
}

greenroom_sdk::component!(Api);
