import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { connectAsync } from "mqtt";
import mqttPacket from "mqtt-packet";
import t from "tap";
import { given, heardBy, idsOf, publish, turn, update } from "./event-bus-world.ts";

t.test("what is kept for an absent client is bounded: the newest are dropped, and counted", async (t) => {
  const { bus, client, lines } = await given(t, { queuedMax: 3 });
  const away = await client({ clientId: "mapper", clean: false });
  await away.subscribeAsync("$hw/x", { qos: 1 });
  await away.endAsync();
  while (bus.counts.clients > 0) await turn();
  for (let index = 0; index < 5; index += 1) bus.publish("$hw/x", String(index));
  while (bus.counts.dropped < 2) await turn();
  const got: string[] = [];
  const back = await connectAsync(`mqtt://127.0.0.1:${(await bus.open()).port}`, {
    clientId: "mapper",
    clean: false,
    reconnectPeriod: 0,
  });
  t.teardown(() => back.endAsync(true));
  back.on("message", (_topic, payload) => got.push(payload.toString()));
  while (got.length < 3) await heardBy(back);
  t.same(got, ["0", "1", "2"]);
  t.equal(lines.filter((line) => line.includes("dropped")).length, 1);
});

t.test("sessions are bounded: that of an absent client goes", async (t) => {
  const { bus, client } = await given(t, { sessionsMax: 2 });
  for (const id of ["a", "b", "c"]) {
    const each = await client({ clientId: id, clean: false });
    await each.subscribeAsync(`$hw/${id}`, { qos: 1 });
    await each.endAsync();
    await turn();
  }
  t.same(
    ["a", "b", "c"].map((id) => bus.hasSubscriber(`$hw/${id}`)),
    [false, true, true],
  );
});

t.test("retained messages are bounded by number", async (t) => {
  const { bus, client } = await given(t, { retainedMax: 2 });
  const publisher = await client();
  for (const topic of ["r/1", "r/2", "r/3"])
    await publisher.publishAsync(topic, topic, { qos: 1, retain: true });
  await publisher.publishAsync("r/1", "new", { qos: 1, retain: true });
  while (bus.counts.dropped < 1) await turn();
  const subscriber = await client();
  const got: string[] = [];
  subscriber.on("message", (topic, payload) => got.push(`${topic} ${payload.toString()}`));
  await subscriber.subscribeAsync("r/#");
  while (got.length < 2) await turn();
  t.same(got.sort(), ["r/1 new", "r/2 r/2"]);
});

t.test(
  "a packet over the limit closes its connection before it is read; others are not disturbed",
  async (t) => {
    const { receiver, client, raw, lines, bus } = await given(t, { packetBytesMax: 100_000 });
    const other = await client();
    const publisher = await raw();
    publisher.send(publish(update, 1, { payload: "x".repeat(90_000) }));
    await publisher.until(() => publisher.packets.length === 1);
    t.equal(receiver.taken.length, 1, "up to the limit it is taken");
    // Only the beginning is sent: that is enough to know.
    publisher.socket.write(
      mqttPacket.generate(publish(update, 2, { payload: "x".repeat(100_001) })).subarray(0, 10),
    );
    await publisher.until(() => publisher.closed);
    t.ok(lines.includes("warn: an MQTT connection was closed: a packet is over the limit"));
    await other.publishAsync(update, "{}", { qos: 1 });
    t.equal(bus.counts.clients, 1);
  },
);

t.test("packets are told apart wherever the network cuts them", async (t) => {
  const { receiver, raw } = await given(t, { packetBytesMax: 1000 });
  const client = await raw();
  const bytes = Buffer.concat([
    mqttPacket.generate(publish(update, 1, { payload: "a".repeat(300) })),
    mqttPacket.generate({ cmd: "pingreq" }),
    mqttPacket.generate(publish(update, 2, { payload: "b" })),
  ]);
  client.socket.setNoDelay(true);
  for (const byte of bytes) {
    client.socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  await client.until(() => client.packets.length === 3);
  t.same(
    receiver.taken.map(({ text }) => text.length),
    [300, 1],
  );
});

t.test("a topic over the limit is acknowledged and dropped", async (t) => {
  const { client, lines } = await given(t);
  const [publisher, subscriber] = [await client(), await client()];
  const got: string[] = [];
  subscriber.on("message", (topic) => got.push(topic));
  await subscriber.subscribeAsync("#", { qos: 1 });
  await publisher.publishAsync("x".repeat(1025), "x", { qos: 1 });
  await publisher.publishAsync("é".repeat(513), "x", { qos: 1 });
  const heard = heardBy(subscriber);
  await publisher.publishAsync("x".repeat(1024), "x", { qos: 1 });
  await heard;
  t.same(got, ["x".repeat(1024)]);
  t.equal(lines.filter((line) => line.includes("topic is too long")).length, 2);
});

t.test("subscriptions of one client are bounded", async (t) => {
  const { client } = await given(t, { subscriptionsPerClientMax: 2 });
  const subscriber = await client();
  const granted: number[] = [];
  for (const topic of ["a", "b", "a", "c", "x".repeat(2000)]) {
    granted.push(
      ...(await subscriber.subscribeAsync(topic).catch(() => [{ qos: 128 }])).map(({ qos }) => qos),
    );
  }
  t.same(granted, [0, 0, 0, 128, 128]);
});

t.test("clients are bounded", async (t) => {
  const { client, lines, port } = await given(t, { clientsMax: 1 });
  await client();
  const refused = connectSocket(port, "127.0.0.1");
  refused.on("error", () => {});
  await once(refused, "close");
  t.ok(lines.includes("warn: MQTT clients are turned away: too many are connected"));
});

t.test("a client with too much unacknowledged is read no further, and loses nothing", async (t) => {
  const { receiver, raw } = await given(t, { pendingMax: 10 });
  receiver.held = true;
  const client = await raw();
  client.socket.setNoDelay(true);
  // One packet a write, so that the broker could read on and on.
  for (let id = 1; id <= 100; id += 1) {
    client.send(publish(update, id));
    await new Promise(setImmediate);
  }
  await turn();
  const read = receiver.taken.length;
  t.ok(read >= 10 && read < 100, `${read} of 100 were read`);
  receiver.held = false;
  for (const { done } of receiver.taken.slice(0, read)) done();
  await client.until(() => client.packets.length === 100);
  t.same(
    idsOf(client, "puback"),
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

t.test("subscribers that are too slow lose answers, not the broker its memory", async (t) => {
  const { bus, raw, lines } = await given(t, { publishingMax: 150 });
  const stalled = await raw();
  stalled.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "$hw/#", qos: 1 }] });
  await stalled.until(() => stalled.packets.length === 1);
  stalled.socket.pause();
  const payload = "x".repeat(100_000);
  for (let index = 0; index < 1000 && bus.counts.dropped === 0; index += 1) {
    bus.publish("$hw/x", payload);
    await new Promise(setImmediate);
  }
  t.ok(bus.counts.dropped > 0);
  t.equal(bus.publish("$hw/x", payload), false);
  t.equal(lines.filter((line) => line.includes("answers are dropped")).length, 1);
});
