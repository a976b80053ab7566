import { type Case, type Quantity, type Question, sleep } from "./harness.ts";
import { type Load, publishers, startLoad } from "./load.ts";
import { cpuSeconds } from "./machine.ts";
import type { Pipeline } from "./subject.ts";

interface Mark {
  readonly at: number;
  readonly stored: number;
  readonly acknowledged: number;
  readonly results: number;
  readonly edgeCpu: number;
  readonly cloudCpu: number;
}

async function mark(pipeline: Pipeline, load: Load): Promise<Mark> {
  const asked = performance.now();
  const stored = await pipeline.stored();
  // The answer is of some moment between asking and hearing.
  const at = (asked + performance.now()) / 2;
  const edgeCpu = cpuSeconds(pipeline.edge);
  const cloudCpu = cpuSeconds(pipeline.cloud);
  return { at, stored, edgeCpu, cloudCpu, ...(await load.count()) };
}

function caseOf(name: string, results: boolean, quick: boolean): Case {
  const goal = results ? {} : ({ target: { of: "ratio", at: "least", bound: 0.5 } } as const);
  const thrift = results ? {} : ({ target: { of: "ratio", at: "most", bound: 2 } } as const);
  const quantities: Quantity[] = [
    { name, unit: "events/s", ...goal },
    { name: `${name}.edge-cpu`, unit: "µs/event", ...thrift },
    { name: `${name}.cloud-cpu`, unit: "µs/event" },
  ];
  if (results) quantities.push({ name: `${name}.delivered`, unit: "results/s" });
  return {
    title: name,
    quantities,
    measure: async (subject, { directory }) => {
      const pipeline = await subject.startPipeline({ directory, devices: publishers, results });
      const load = await startLoad(pipeline.mqttPort, results);
      try {
        await load.saturate();
        await sleep(quick ? 2 : 4);
        const from = await mark(pipeline, load);
        await sleep(quick ? 3 : 10);
        const to = await mark(pipeline, load);
        await load.stop();
        return figuresOf(from, to);
      } finally {
        await load.close();
        await pipeline.close();
      }
    },
  };
}

function figuresOf(from: Mark, to: Mark): number[] {
  const seconds = (to.at - from.at) / 1000;
  const events = to.stored - from.stored;
  return [
    events / seconds,
    ((to.edgeCpu - from.edgeCpu) / events) * 1e6,
    ((to.cloudCpu - from.cloudCpu) / events) * 1e6,
    (to.results - from.results) / seconds,
  ];
}

export const pipeline: Question = {
  name: "pipeline",
  asks: "How many MQTT messages a second (QoS 1, 20 publishers) become durable at the edge and in the cloud?",
  cases: (quick) => [caseOf("pipeline", false, quick), caseOf("pipeline-with-results", true, quick)],
};
