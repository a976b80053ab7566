import t from "tap";
import { keptPort, namingFlag } from "../../cli/port-option.ts";
import { TidemarkError } from "../../core/errors.ts";

t.test("a port that is taken is named with its flag and its key in a configuration", (t) => {
  const taken = new TidemarkError("PORT_TAKEN", "taken", { data: { port: 1883 } });
  const flags = { "--mqtt-port": 1883, "--edge-api-port": 10_550 };
  t.match(namingFlag(taken, flags), {
    code: "PORT_TAKEN",
    message: /port 1883 \(--mqtt-port\) is taken.*modules\.eventBus\.mqttServerInternal/,
    data: { port: 1883, flag: "--mqtt-port", key: "modules.eventBus.mqttServerInternal" },
  });
  t.match(namingFlag(taken, { "--api-port": 1883 }), { message: /port 1883 \(--api-port\) is taken/ });
  t.equal(namingFlag(taken, {}), taken);
  t.end();
});

t.test("a process that starts again by itself keeps the ports it was given", (t) => {
  t.equal(keptPort(0, "wss://127.0.0.1:40123"), 40_123);
  t.equal(keptPort(0, "mqtt://127.0.0.1:1883"), 1883);
  t.equal(keptPort(10_000, "wss://127.0.0.1:10000"), 10_000);
  t.end();
});
