import * as fc from "fast-check";
import t from "tap";
import { parseGet, parseStateUpdate, parseTwinUpdate } from "../../protocol/devices/payloads.ts";

t.test("a report, as KubeEdge's mappers send it", async (t) => {
  const request = parseTwinUpdate(
    '{"event_id":"e2","timestamp":1550732817020,"twin":{"temperature":{"actual":{"value":"23","metadata":{"timestamp":1550732817000}},"metadata":{"type":"int"}}}}',
  );
  t.equal(request.eventId, "e2");
  t.same(request.refusal === undefined && [...request.content], [
    ["temperature", { actual: { value: "23", time: 1_550_732_817_000 }, expected: undefined, type: "int" }],
  ]);
});

t.test("null deletes a property; null or nothing for a value says nothing", async (t) => {
  const request = parseTwinUpdate(
    '{"twin":{"a":null,"b":{"actual":null},"c":{"expected":{"value":null}},"d":{}}}',
  );
  const nothing = { actual: undefined, expected: undefined, type: undefined };
  t.same(request.refusal === undefined && [...request.content], [
    ["a", null],
    ["b", nothing],
    ["c", nothing],
    ["d", nothing],
  ]);
  t.equal(request.eventId, "");
});

t.test(
  "what can't be understood is refused with 400, and the event id is echoed where there is one",
  async (t) => {
    const cases: [string, string, RegExp][] = [
      ["", "", /not JSON/],
      ["{", "", /not JSON/],
      ["[]", "", /not a JSON object/],
      ["null", "", /not a JSON object/],
      ['{"event_id":7,"twin":{}}', "", /event_id/],
      ['{"event_id":"e"}', "e", /"twin" is missing/],
      ['{"event_id":"e","twin":[]}', "e", /"twin" is missing/],
      ['{"event_id":"e","twin":{"a":5}}', "e", /a: neither an object/],
      ['{"event_id":"e","twin":{"a":{"actual":"5"}}}', "e", /a: actual: not an object/],
      [
        '{"event_id":"e","twin":{"a":{"actual":{"value":5}}}}',
        "e",
        /a: actual: the value must be text in quotes, not 5/,
      ],
      [
        '{"event_id":"e","twin":{"a":{"expected":{"value":"5","metadata":{"timestamp":"x"}}}}}',
        "e",
        /timestamp/,
      ],
      [
        '{"event_id":"e","twin":{"a":{"actual":{"value":"5","metadata":{"timestamp":1e20}}}}}',
        "e",
        /timestamp/,
      ],
      ['{"event_id":"e","twin":{"a":{"actual":{"value":"5"},"metadata":{"type":7}}}}', "e", /type/],
    ];
    for (const [text, eventId, reason] of cases) {
      t.match(parseTwinUpdate(text), { eventId, refusal: { code: 400, reason } }, text);
    }
  },
);

t.test("a property may have any name that JSON can say", async (t) => {
  const request = parseTwinUpdate('{"twin":{"__proto__":{"actual":{"value":"1"}}}}');
  t.same(request.refusal === undefined && [...request.content.keys()], ["__proto__"]);
});

t.test("states are known words, in any case", async (t) => {
  t.match(parseStateUpdate('{"event_id":"e","state":"Online"}'), { eventId: "e", content: "online" });
  for (const text of ['{"state":"on fire"}', '{"state":1}', "{}"]) {
    t.match(parseStateUpdate(text), { refusal: { code: 400, reason: /online, offline, ok/ } }, text);
  }
});

t.test("to get takes an event id, or nothing at all", async (t) => {
  t.match(parseGet('{"event_id":"e","timestamp":1}'), { eventId: "e", content: true });
  t.match(parseGet(""), { eventId: "", content: true });
  t.match(parseGet("nonsense"), { refusal: { code: 400 } });
});

t.test("no text makes the parsers throw", async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.json().map((json) => `{"twin":{"p":${json}}}`),
      ),
      (text) => {
        parseTwinUpdate(text);
        parseStateUpdate(text);
        parseGet(text);
      },
    ),
  );
});
