// A chat room in a browser, with the stock client.

import { createClient } from "rivetkit/client";

const field = (id) => document.getElementById(id);
let client;
let room;

field("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  field("error").value = "";
  await client?.dispose();
  client = createClient({ endpoint: field("endpoint").value, devtools: false });
  room = client.chat.getOrCreate([field("room").value], { params: { token: field("token").value } }).connect();
  follow(room);
});

field("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = field("text").value;
  field("text").value = "";
  field("error").value = "";
  try {
    if (!room) throw new Error("connect first");
    await room.say(text);
  } catch (error) {
    complain(error);
  }
});

function follow(conn) {
  // What comes from a room that was left in the meantime is of no interest.
  const ifCurrent = (react) => (value) => conn === room && react(value);

  conn.on("message", ifCurrent(showMessage));
  conn.on("joined", ifCurrent((name) => show(`${name} joined`, "note")));
  conn.on("left", ifCurrent((name) => show(`${name} left`, "note")));
  field("status").value = conn.connStatus;
  conn.onStatusChange(ifCurrent((status) => (field("status").value = status)));
  conn.onError(ifCurrent(complain));
  // At every opening, so also after a lost connection.
  conn.onOpen(ifCurrent(() => catchUp(conn).catch(ifCurrent(complain))));
}

async function catchUp(conn) {
  const history = await conn.history();
  if (conn !== room) return;
  // Events that came before this answer are in it, those that come after it are not: nothing is shown twice.
  field("messages").replaceChildren();
  field("error").value = "";
  history.forEach(showMessage);
  show(`here: ${(await conn.who()).join(", ")}`, "note");
}

function showMessage({ from, text, at }) {
  show(`${new Date(at).toLocaleTimeString()} ${from}: ${text}`, "message");
}

// The first error says most: the client reports a refusal, and then once more that the socket was closed.
function complain(error) {
  field("error").value ||= `${error.code ?? "error"}: ${error.message}`;
}

function show(text, kind) {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  field("messages").append(line);
}
