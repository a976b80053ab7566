/** What lies between the node and the cloud in the crash test does what its faults are named for. */
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import t, { type Test } from "tap";
import { eventually } from "../e2e/processes.ts";
import { LinkProxy } from "./proxy.ts";

interface Wire {
  readonly proxy: LinkProxy;
  readonly node: Socket;
  readonly cloud: Socket;
  readonly atNode: () => string;
  readonly atCloud: () => string;
}

function gather(socket: Socket): () => string {
  let text = "";
  socket.setEncoding("utf8").on("data", (more: string) => (text += more));
  socket.on("error", () => undefined);
  return () => text;
}

async function wire(t: Test): Promise<Wire> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await LinkProxy.open((server.address() as AddressInfo).port);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const node = connect(proxy.port, "127.0.0.1");
  const [cloud] = await accepted;
  t.teardown(async () => {
    node.destroy();
    cloud.destroy();
    await proxy.close();
    server.close();
  });
  return { proxy, node, cloud, atNode: gather(node), atCloud: gather(cloud) };
}

/** Not `once`, which fails with the error that comes before. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once("close", resolve));
}

/** Resolves when it is there. */
async function passes(from: Socket, arrived: () => string, text: string): Promise<void> {
  from.write(text);
  await eventually(`${text} at the other end`, async () => arrived().includes(text) || undefined, 5000);
}

t.test("it passes both ways, and a reset is told to both ends", async (t) => {
  const { proxy, node, cloud, atNode, atCloud } = await wire(t);
  await passes(node, atCloud, "up");
  await passes(cloud, atNode, "down");
  const both = Promise.all([closed(node), closed(cloud)]);
  proxy.reset();
  await both;
  t.equal(proxy.connections, 0);
});

t.test("a stall holds one direction back, in order, and lets the other pass", async (t) => {
  const { proxy, node, cloud, atNode, atCloud } = await wire(t);
  proxy.stall(true, false);
  node.write("one ");
  node.write("two ");
  for (const word of ["a", "b", "c"]) await passes(cloud, atNode, word);
  t.equal(atCloud(), "");
  proxy.heal();
  await passes(node, atCloud, "three");
  t.equal(atCloud(), "one two three");
});

t.test("what is delayed stays in order, also when the delay ends", async (t) => {
  const { proxy, node, atCloud } = await wire(t);
  proxy.delay(200);
  await passes(node, atCloud, "one ");
  node.write("two ");
  proxy.delay(0);
  await passes(node, atCloud, "three");
  t.equal(atCloud(), "one two three");
});

t.test("in a hush neither end hears of the other's end; afterwards it does", async (t) => {
  const { proxy, node, cloud } = await wire(t);
  proxy.hush(true);
  cloud.resetAndDestroy();
  await eventually("the end at the proxy", async () => proxy.connections === 0 || undefined, 5000);
  t.notOk(node.destroyed);
  const ended = closed(node);
  proxy.heal();
  await ended;
});

t.test("an orphan is never told, and what it says goes nowhere", async (t) => {
  const { proxy, node, cloud } = await wire(t);
  const ended = closed(cloud);
  proxy.orphan("node");
  await ended;
  node.write("anyone there?");
  proxy.heal();
  t.equal(proxy.connections, 0);
  t.notOk(node.destroyed);
});

t.test("who is refused is cut off at once", async (t) => {
  const { proxy } = await wire(t);
  proxy.refuse(true);
  const late = connect(proxy.port, "127.0.0.1");
  late.on("error", () => undefined);
  await closed(late);
  t.equal(proxy.connections, 0);
});
