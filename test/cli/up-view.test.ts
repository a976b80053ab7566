import * as fc from "fast-check";
import t from "tap";
import { coloured } from "../../cli/paint.ts";
import { widthOf } from "../../cli/text.ts";
import {
  type Part,
  type UpModel,
  createPart,
  note,
  takeChange,
  takeDevice,
  takeStatus,
} from "../../cli/up/model.ts";
import { renderView, wrapCommand } from "../../cli/up/view.ts";
import type { DeviceAnswer } from "../../protocol/devices/twin-view.ts";
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";

const nodeOrigin = "n4k2p8wj3b7xtd";
const cloudOrigin = "c8wj3b7xtdn4k2";

function running(part: Part, pid: number, addresses: Record<string, string>): Part {
  return Object.assign(part, { state: "running" as const, pid, addresses });
}

function modelOf(): UpModel & { nodes: readonly [Part] } {
  const cloud = running(createPart("cloud", true, "npx tidemark cloud"), 101, {
    api: "https://127.0.0.1:6443",
    link: "wss://127.0.0.1:10000",
  });
  const node = running(createPart("edge-node-1", false, "npx tidemark edge"), 102, {
    mqtt: "mqtt://127.0.0.1:1883",
    edgeApi: "http://127.0.0.1:10550",
  });
  return {
    version: "0.1.0",
    dataDir: "/home/me/data",
    cloud,
    nodes: [node],
    device: {
      namespace: "default",
      name: "this-machine",
      properties: [
        { name: "load", unit: "" },
        { name: "interval", unit: "s" },
      ],
    },
    events: new Map(),
    notes: [],
    lines: () => [
      ["want", ["npx", "tidemark", "device", "set", "default/this-machine", "interval", "5"]],
      ["cloud down", ["kill", "-9", "101"]],
    ],
    stopping: false,
  };
}

function change(event: string, of: Partial<ChangeRow> = {}): ChangeRow {
  return {
    time: "2026-09-01T12:00:00.123Z",
    event,
    type: "twin.reported",
    node: "edge-node-1",
    namespace: "default",
    name: "this-machine",
    property: "load",
    value: "0.42",
    ...of,
  };
}

function status(lag: number, vector: Record<string, number>, state = "Connected"): StatusRow {
  return {
    nodes: [{ name: "edge-node-1", state, lag: { toNode: 0, toCloud: lag }, vector }],
  } as unknown as StatusRow;
}

const screen = { columns: 100, rows: 40, keys: true };

t.test("everything at a glance", async (t) => {
  const model = modelOf();
  const [node] = model.nodes;
  takeStatus(model, node, status(0, {}));
  takeStatus(model, model.cloud, status(0, {}));
  const event = change(`${nodeOrigin}/17`);
  takeChange(model, node, event, 1000);
  takeChange(model, model.cloud, event, 1006);
  const wanted = change(`${cloudOrigin}/3`, { type: "twin.desired", property: "interval", value: "5" });
  takeChange(model, model.cloud, wanted, 2000);
  note(model, "2026-09-01T12:00:01.000Z", "port 1883 is taken: --mqtt-port is 1884 this time");
  t.same(
    renderView(model, { ...screen, rows: 27 }),
    [
      "Tidemark 0.1.0                                                                         /home/me/data",
      "",
      "  cloud        ● running    pid 101  1 of 1 node  https://127.0.0.1:6443  wss://127.0.0.1:10000",
      "  edge-node-1  ● connected  pid 102  nothing waits  mqtt://127.0.0.1:1883  http://127.0.0.1:10550",
      "",
      "default/this-machine",
      "  PROPERTY     AT THE NODE     IN THE CLOUD    WANTED",
      "  load         0.42            0.42",
      "  interval  s  -               -               5 …",
      "",
      "What happens",
      "  TIME           EVENT  NODE      CLOUD     DEVICE                WHAT",
      "  12:00:00.123     #17  ✓         +6 ms     default/this-machine  load 0.42",
      "  12:00:00.123      #3  …         ✓         default/this-machine  interval wanted 5",
      "",
      "",
      "",
      "",
      "",
      "  12:00:01  port 1883 is taken: --mqtt-port is 1884 this time",
      "",
      "Try, in another terminal",
      "  want        npx tidemark device set default/this-machine interval 5",
      "  cloud down  kill -9 101",
      "",
      "  c kill the cloud   e kill the node   q quit",
    ].toSpliced(14, 0, ""),
  );
});

t.test("a cloud that is down: what waits for it, what it had, how to start it", async (t) => {
  const model = modelOf();
  const [node] = model.nodes;
  takeChange(model, node, change(`${nodeOrigin}/17`), 1000);
  takeChange(model, model.cloud, change(`${nodeOrigin}/17`), 1001);
  Object.assign(model.cloud, { state: "down", ending: "killed by SIGKILL" });
  takeChange(model, node, change(`${nodeOrigin}/18`, { value: "0.50" }), 2000);
  takeStatus(model, node, status(1, { [nodeOrigin]: 18 }, "Disconnected"));
  const text = renderView(model, screen).join("\n");
  t.match(text, /^ {2}cloud +○ down +killed by SIGKILL$/m);
  t.match(text, /^ {2}edge-node-1 +● offline +pid 102 {2}1 event to send /m);
  t.match(text, /^ {2}load +0\.50 +0\.42$/m);
  t.match(text, /#18 {2}✓ +waits +default\/this-machine {2}load 0\.50$/m);
  t.match(text, /c start the cloud/);
});

t.test(
  "an event that came while nobody looked is known to be there by what the side says it has",
  async (t) => {
    const model = modelOf();
    const [node] = model.nodes;
    takeChange(model, node, change(`${nodeOrigin}/17`), 1000);
    takeChange(model, node, change(`${nodeOrigin}/18`), 1000);
    takeStatus(model, model.cloud, status(0, { [nodeOrigin]: 17 }));
    const text = renderView(model, screen).join("\n");
    t.match(text, /#17 {2}✓ +✓ /);
    t.match(text, /#18 {2}✓ +… /);
  },
);

t.test("a side that is looked at anew shows what it has, and no more", async (t) => {
  const model = modelOf();
  takeChange(model, model.cloud, change(`${nodeOrigin}/17`, { property: "gone" }), 1000);
  const property = {
    type: "FLOAT",
    reported: { value: "7", time: "", event: "" },
    desired: null,
    inSync: true,
  };
  takeDevice(model.cloud, { properties: { load: property } } as unknown as DeviceAnswer);
  t.same([...model.cloud.properties], [["load", { reported: "7", desired: undefined }]]);
});

t.test("what is wanted and what is so", async (t) => {
  const model = modelOf();
  const [node] = model.nodes;
  const interval = (type: string, value: string, seq: number): void => {
    takeChange(model, node, change(`${nodeOrigin}/${seq}`, { type, property: "interval", value }), 0);
  };
  interval("twin.desired", "5", 1);
  interval("twin.reported", "1", 2);
  t.match(renderView(model, screen).join("\n"), /interval {2}s {2}1 +- +5 …$/m);
  interval("twin.reported", "5", 3);
  t.match(renderView(model, screen).join("\n"), /interval {2}s {2}5 +- +5 ✓$/m);
});

t.test("it remembers a bounded number of events and notes", async (t) => {
  const model = modelOf();
  for (let seq = 1; seq <= 1000; seq += 1) {
    takeChange(model, model.cloud, change(`${nodeOrigin}/${seq}`), 0);
    note(model, "", "");
  }
  t.ok(model.events.size <= 200);
  t.ok(model.notes.length <= 20);
});

t.test("no line is wider than the screen, and there are not more than fit, whatever comes", async () => {
  const text = fc.string({ unit: "grapheme", maxLength: 60 });
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 200 }),
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.record({ property: text, value: text, name: text }), { maxLength: 30 }),
      (columns, rows, changes) => {
        const model = modelOf();
        for (const [index, row] of changes.entries()) {
          takeChange(
            model,
            index % 2 === 0 ? model.cloud : model.nodes[0],
            change(`${nodeOrigin}/${index}`, row),
            0,
          );
          note(model, "2026-09-01T12:00:01.000Z", row.value);
        }
        const lines = renderView(model, { columns, rows, keys: true });
        // A command to be copied is never cut: its words are as long as they are.
        const others = lines.filter((line) => !/^ {2}(want|cloud down| {10}) /.test(line));
        return lines.length <= rows && others.every((line) => widthOf(line) <= columns);
      },
    ),
  );
});

t.test(
  "on a small screen, what one can do comes before what happens; the keys are always there",
  async (t) => {
    const lines = renderView(modelOf(), { columns: 80, rows: 16, keys: true });
    t.equal(lines.at(-1), "  c kill the cloud   e kill the node   q quit");
    t.ok(lines.includes("Try, in another terminal"));
    t.notOk(lines.includes("What happens"));
    t.equal(renderView(modelOf(), { columns: 80, rows: 3, keys: true }).length, 3);
  },
);

t.test("colour is all that colour changes", async (t) => {
  const model = modelOf();
  takeChange(model, model.cloud, change(`${cloudOrigin}/1`), 0);
  const bare = renderView(model, { ...screen, paint: coloured }).map((line) =>
    // oxlint-disable-next-line no-control-regex
    line.replaceAll(/\u001b\[[0-9]+m/g, ""),
  );
  t.same(bare, renderView(model, screen));
});

t.test("a long command is broken so that it can be copied", async (t) => {
  const words = ["mosquitto_pub", "-t", "$hw/a", "-m", '{"a": 1}'];
  t.same(wrapCommand(words, 80), [`mosquitto_pub -t '$hw/a' -m '{"a": 1}'`]);
  t.same(wrapCommand(words, 30), ["mosquitto_pub -t '$hw/a' -m \\", `  '{"a": 1}'`]);
  t.same(wrapCommand(["a", "b"], 0), ["a \\", "  b"]);
});
