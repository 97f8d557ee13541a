// Serves the built page, and nothing else, on http://localhost:8080 (or PORT).

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/main.js": ["main.js", "text/javascript; charset=utf-8"],
};
const port = Number(process.env.PORT ?? 8080);

createServer(async (request, response) => {
  const [name, type] = FILES[request.url.split("?")[0]] ?? [];
  if (!name) return response.writeHead(404).end();
  try {
    const content = await readFile(new URL(`dist/${name}`, import.meta.url));
    response.writeHead(200, { "content-type": type }).end(content);
  } catch {
    response.writeHead(500).end("run `npm run build` first\n");
  }
}).listen(port, "localhost", () => console.log(`http://localhost:${port}`));
