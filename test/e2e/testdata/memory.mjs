// Uses a Redis by TLS from node, whose OpenSSL writes ciphertext to memory. Arguments: the port, how
// many rounds, and how many connections. Everything runs in one thread; a callback of one
// connection writes to the others.
import tls from "node:tls";

const [port, rounds, count] = process.argv.slice(2).map(Number);

function connect() {
  const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  socket.text = "";
  socket.waiting = [];
  socket.on("data", (data) => {
    socket.text += data.toString("latin1");
    for (;;) {
      const end = socket.text.indexOf("\r\n");
      if (end < 0) return;
      let next = end + 2;
      if (socket.text[0] === "$") next += Number(socket.text.slice(1, end)) + 2;
      if (socket.text.length < next) return;
      socket.text = socket.text.slice(next);
      socket.waiting.shift()();
    }
  });
  socket.on("error", (error) => { throw error; });
  return socket;
}

function call(socket, ...words) {
  const text = `*${words.length}\r\n` + words.map((w) => `$${w.length}\r\n${w}\r\n`).join("");
  return new Promise((resolve) => { socket.waiting.push(resolve); socket.write(text, "latin1"); });
}

const first = connect();
await new Promise((resolve) => first.once("secureConnect", resolve));
const sockets = [first];
for (let i = 1; i < count; i++) {
  const socket = connect();
  const other = sockets[i - 1];
  // The callback of this handshake runs inside a call of the library, and uses another connection.
  await new Promise((resolve) => socket.once("secureConnect", () => { call(other, "PING").then(resolve); }));
  sockets.push(socket);
}
for (let i = 0; i < rounds; i++) {
  const socket = sockets[i % count];
  await call(socket, "SET", `key:${i % count}`, "x".repeat(1 + (i * 37) % 3000 + (i % 50 === 0 ? 60000 : 0)));
  await Promise.all(sockets.map((s) => call(s, "GET", `key:${i % count}`)));
  if (i % 10 === 0) await Promise.all(Array.from({ length: 30 }, () => call(socket, "INCR", "n")));
}
for (const socket of sockets) socket.end();
