import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect as connectSocket, createServer } from "node:net";
import type { IClientOptions } from "mqtt";
import t from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { createEventBus } from "../../edge/event-bus.ts";
import { given, heardBy, idsOf, publish, turn, update } from "./event-bus-world.ts";

t.test(
  "a message to a device topic reaches the receiver; it is acknowledged when that is done",
  async (t) => {
    const { receiver, client } = await given(t);
    receiver.held = true;
    const publisher = await client();
    let acknowledged = false;
    const publishing = publisher
      .publishAsync(update, '{"x":1}', { qos: 1 })
      .then(() => (acknowledged = true));
    await receiver.count(1);
    await turn();
    t.equal(acknowledged, false);
    t.match(receiver.taken[0], {
      command: { action: "twin/update", key: "devices/default/t1" },
      text: '{"x":1}',
    });
    receiver.taken[0]?.done();
    await publishing;
  },
);

t.test(
  "acknowledgements leave in order, though the first message is slow and the second is nobody's",
  async (t) => {
    const { receiver, raw } = await given(t);
    receiver.held = true;
    const client = await raw();
    client.send(
      publish(update, 1),
      publish("plain", 2),
      publish(update, 3),
      publish("plain", 4),
      publish(update, 5),
    );
    await receiver.count(3);
    await turn();
    t.same(client.packets, [], "the ordinary message waits for its turn");
    receiver.taken[2]?.done();
    receiver.taken[1]?.done();
    await turn();
    t.same(client.packets, []);
    receiver.taken[0]?.done();
    await client.until(() => client.packets.length === 5);
    t.same(idsOf(client, "puback"), [1, 2, 3, 4, 5]);
  },
);

t.test("one client's slow message holds up no other client", async (t) => {
  const { receiver, raw, client } = await given(t);
  receiver.held = true;
  const slow = await raw();
  slow.send(publish(update, 1));
  await receiver.count(1);
  const other = await client();
  await other.publishAsync("plain", "x", { qos: 1 });
  t.same(slow.packets, []);
});

t.test("a failing log closes the connection without an acknowledgement", async (t) => {
  const { receiver, raw } = await given(t);
  receiver.held = true;
  const client = await raw();
  client.send(publish(update, 1), publish(update, 2));
  await receiver.count(2);
  receiver.taken[0]?.done(new TidemarkError("LOG_COMMIT_FAILED", "the disk is gone"));
  receiver.taken[1]?.done();
  await client.until(() => client.closed);
  t.same(client.packets, []);
});

t.test("ordinary traffic, answers forged by clients too, passes through and is no command", async (t) => {
  const { receiver, client } = await given(t);
  const [publisher, subscriber] = [await client(), await client()];
  const topics = [
    "plant/a",
    `${update}/result`,
    `${update}/delta`,
    "$hw/events/upload/x",
    "$ke/events/device/t/data/update",
  ];
  await subscriber.subscribeAsync(["plant/#", "$hw/#", "$ke/#"], { qos: 1 });
  const got: string[] = [];
  subscriber.on("message", (topic) => got.push(topic));
  for (const topic of topics) await publisher.publishAsync(topic, "x", { qos: 1 });
  while (got.length < topics.length) await heardBy(subscriber);
  t.same(got, topics);
  t.same(receiver.taken, []);
});

t.test("a command is heard by those who subscribed to it, after it is durable", async (t) => {
  const { receiver, client } = await given(t);
  receiver.held = true;
  const [publisher, subscriber] = [await client(), await client()];
  await subscriber.subscribeAsync("$hw/events/device/+/+/twin/+", { qos: 1 });
  let heard = false;
  subscriber.on("message", () => (heard = true));
  const publishing = publisher.publishAsync(update, "{}", { qos: 1 });
  await receiver.count(1);
  await turn();
  t.equal(heard, false);
  const hearing = heardBy(subscriber);
  receiver.taken[0]?.done();
  await Promise.all([publishing, hearing]);
});

t.test(
  "who listens under $hw is known, through wildcards, unsubscribing, leaving and staying away",
  async (t) => {
    const { bus, client } = await given(t);
    const result = `${update}/result`;
    const has = () => bus.hasSubscriber(result);
    t.equal(has(), false);
    const a = await client();
    await a.subscribeAsync(["#", "+/events/#", "plant/+"]);
    t.equal(has(), false, "wildcards in the first place take no $ topics");
    await a.subscribeAsync("$hw/#");
    t.equal(has(), true);
    t.equal(bus.hasSubscriber("$hw/events/device/t1/x", result), false, "by no filter but the same");
    const b = await client();
    await b.subscribeAsync("$hw/events/device/+/+/twin/update/result", { qos: 1 });
    await a.unsubscribeAsync("$hw/#");
    t.equal(has(), true);
    t.equal(bus.hasSubscriber(`${update}/document`), false);
    await b.subscribeAsync("$hw/events/device/+/+/twin/update/result", { qos: 0 });
    t.equal(has(), true, "asking again changes nothing");
    await b.endAsync(true);
    while (has()) await turn();
    const persistent: IClientOptions = { clientId: "mapper", clean: false };
    const c = await client(persistent);
    await c.subscribeAsync(result, { qos: 1 });
    await c.endAsync();
    await turn();
    t.equal(has(), true, "a persistent session is kept for");
    const back = await client(persistent);
    await back.unsubscribeAsync(result);
    t.equal(has(), false);
  },
);

t.test(
  "a persistent session ends with a clean one of the same client, and what was kept for it is gone",
  async (t) => {
    const { bus, client } = await given(t);
    const result = `${update}/result`;
    const away = await client({ clientId: "mapper", clean: false });
    await away.subscribeAsync(result, { qos: 1 });
    await away.endAsync();
    while (bus.counts.clients > 0) await turn();
    bus.publish(result, '"old"');
    await client({ clientId: "mapper", clean: true });
    t.equal(bus.hasSubscriber(result), false);
    const again = await client({ clientId: "mapper", clean: false });
    const got: string[] = [];
    again.on("message", (_topic, payload) => got.push(payload.toString()));
    await again.subscribeAsync(result, { qos: 1 });
    const heard = heardBy(again);
    bus.publish(result, '"new"');
    await heard;
    t.same(got, ['"new"']);
  },
);

t.test(
  "a subscriber gets at once what stands, marked as retained, at its own QoS; others don't",
  async (t) => {
    const { receiver, client } = await given(t);
    const [early, late] = [await client(), await client()];
    await early.subscribeAsync("$hw/#");
    let disturbed = false;
    early.on("message", () => (disturbed = true));
    receiver.pending = [{ topic: `${update}/delta`, payload: '{"delta":{}}' }];
    for (const qos of [0, 1] as const) {
      const heard = heardBy(late);
      await late.subscribeAsync(`${update}/delta`, { qos });
      t.same(await heard, { topic: `${update}/delta`, payload: '{"delta":{}}', qos, retain: true });
    }
    t.equal(disturbed, false);
  },
);

t.test("QoS 2: a message sent again makes one event, whenever it comes", async (t) => {
  const { receiver, raw, bus } = await given(t);
  receiver.held = true;
  const session = { clientId: "exact", clean: false };
  const first = await raw(session);
  first.send(publish(update, 7, { qos: 2 }));
  await receiver.count(1);
  first.socket.destroy();
  while (bus.counts.clients > 0) await turn();

  const second = await raw(session);
  second.send(publish(update, 7, { qos: 2, dup: true }));
  await turn();
  t.equal(receiver.taken.length, 1, "while the first waits for the disk");
  t.same(second.packets, []);
  receiver.taken[0]?.done();
  await second.until(() => second.packets.length === 1);
  t.same(idsOf(second, "pubrec"), [7]);
  second.socket.destroy();
  while (bus.counts.clients > 0) await turn();

  const third = await raw(session);
  third.send(publish(update, 7, { qos: 2, dup: true }));
  await third.until(() => third.packets.length === 1);
  t.equal(receiver.taken.length, 1, "after it");
  third.send({ cmd: "pubrel", messageId: 7 });
  await third.until(() => third.packets.length === 2);
  t.same(idsOf(third, "pubcomp"), [7]);

  receiver.held = false;
  third.send(publish(update, 7, { qos: 2 }));
  await third.until(() => third.packets.length === 3);
  t.equal(receiver.taken.length, 2, "then the message id is free for another message");
});

t.test("QoS 2: what the log did not take is taken when it comes again", async (t) => {
  const { receiver, raw } = await given(t);
  receiver.held = true;
  const session = { clientId: "exact", clean: false };
  const first = await raw(session);
  first.send(publish(update, 7, { qos: 2 }));
  await receiver.count(1);
  receiver.taken[0]?.done(new TidemarkError("LOG_COMMIT_FAILED", "the disk is gone"));
  await first.until(() => first.closed);
  receiver.held = false;
  const second = await raw(session);
  second.send(publish(update, 7, { qos: 2, dup: true }));
  await second.until(() => second.packets.length === 1);
  t.equal(receiver.taken.length, 2);
});

t.test("QoS 0 needs no acknowledgement, and is taken all the same", async (t) => {
  const { receiver, client } = await given(t);
  const publisher = await client();
  publisher.publish(update, "{}", { qos: 0 });
  await receiver.count(1);
  t.equal(receiver.taken[0]?.text, "{}");
});

t.test("a will is a message like any other, and comes when its client is lost", async (t) => {
  const { receiver, client } = await given(t);
  const topic = "$hw/events/device/t1/state/update";
  const payload = '{"state":"offline"}';
  const publisher = await client({ will: { topic, payload: Buffer.from(payload), qos: 1, retain: false } });
  publisher.stream.destroy();
  await receiver.count(1);
  t.match(receiver.taken[0], { command: { action: "state/update" }, text: payload });
});

t.test("the end of the broker is not the end of its clients: no will is taken then", async (t) => {
  const { receiver, client, bus } = await given(t);
  const topic = "$hw/events/device/t1/state/update";
  await client({ will: { topic, payload: Buffer.from("{}"), qos: 1, retain: false } });
  await bus.close();
  t.same(receiver.taken, []);
});

t.test("clients can't speak for the broker", async (t) => {
  const { client } = await given(t);
  const [publisher, subscriber] = [await client(), await client()];
  const got: string[] = [];
  subscriber.on("message", (topic) => got.push(topic));
  await subscriber.subscribeAsync(["$SYS/forged", "after"], { qos: 1 });
  await publisher.publishAsync("$SYS/forged", "x", { qos: 1 });
  const heard = heardBy(subscriber);
  await publisher.publishAsync("after", "x", { qos: 1 });
  await heard;
  t.same(got, ["after"]);
});

t.test("closing waits for acknowledgements under way, takes no more, and is idempotent", async (t) => {
  const { receiver, raw, bus, port } = await given(t, { closeMs: 5000 });
  receiver.held = true;
  const client = await raw();
  client.send(publish(update, 1));
  await receiver.count(1);
  const closing = Promise.all([bus.close(), bus.close()]);
  client.send(publish(update, 2));
  await turn();
  receiver.taken[0]?.done();
  await closing;
  await client.until(() => client.closed);
  t.same(idsOf(client, "puback"), [1]);
  t.equal(receiver.taken.length, 1);
  const late = connectSocket(port, "127.0.0.1");
  const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
  t.equal(error.code, "ECONNREFUSED");
});

t.test("closing does not wait for ever", async (t) => {
  const { receiver, raw, bus } = await given(t, { closeMs: 50 });
  receiver.held = true;
  const client = await raw();
  client.send(publish(update, 1));
  await receiver.count(1);
  await bus.close();
  await client.until(() => client.closed);
  t.same(client.packets, []);
});

t.test("a port that is taken is said so, and closing after it does no harm", async (t) => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await once(blocker, "listening");
  t.teardown(() => blocker.close());
  const { port } = blocker.address() as { port: number };
  const bus = createEventBus({ port, logger: { log() {} } });
  await t.rejects(bus.open(), { code: "PORT_TAKEN", data: { host: "127.0.0.1", port } });
  await bus.close();
});

t.test("a bus that was never opened can be closed", async () => {
  await createEventBus({ port: 0, logger: { log() {} } }).close();
});

t.test("what is not MQTT closes its own connection, and no other", async (t) => {
  const { client, port } = await given(t);
  const other = await client();
  const scanner = connectSocket(port, "127.0.0.1");
  scanner.on("error", () => {});
  scanner.resume();
  scanner.write("GET / HTTP/1.1\r\n\r\n");
  await once(scanner, "close");
  await other.publishAsync(update, "{}", { qos: 1 });
});

const hasMosquitto = ["mosquitto_pub", "mosquitto_sub"].every(
  (command) => spawnSync(command, ["--help"]).error === undefined,
);

t.test(
  "mosquitto's clients",
  { skip: hasMosquitto ? false : "mosquitto-clients is not installed" },
  async (t) => {
    const { receiver, port, bus } = await given(t);
    const address = ["-h", "127.0.0.1", "-p", String(port)];
    const subscriber = spawn("mosquitto_sub", [...address, "-t", `${update}/#`, "-q", "1", "-C", "2", "-v"]);
    const output: Buffer[] = [];
    subscriber.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    const ended = once(subscriber, "close");
    while (!bus.hasSubscriber(`${update}/result`)) await turn();
    const publisher = spawn("mosquitto_pub", [...address, "-t", update, "-m", "{}", "-q", "1"]);
    const [code] = (await once(publisher, "exit")) as [number];
    t.equal(code, 0);
    t.equal(receiver.taken[0]?.text, "{}");
    // Answers and what was asked come to a subscriber of both in any order.
    while (output.length === 0) await turn();
    bus.publish(`${update}/result`, '{"ok":1}');
    await ended;
    t.equal(Buffer.concat(output).toString(), `${update} {}\n${update}/result {"ok":1}\n`);
    for (const qos of ["0", "2"]) {
      const [exit] = (await once(
        spawn("mosquitto_pub", [...address, "-t", update, "-m", qos, "-q", qos]),
        "exit",
      )) as [number];
      t.equal(exit, 0);
    }
    await receiver.count(3);
    t.same(
      receiver.taken.slice(1).map(({ text }) => text),
      ["0", "2"],
    );
  },
);
