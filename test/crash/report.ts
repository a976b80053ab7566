/** A run of the crash test, for people. */
import type { HostFigures } from "./host.ts";
import type { CrashReport } from "./run.ts";

const shownMax = 20;

export function describe(report: CrashReport): string {
  const { seed, minutes, faults, leftOut, hosts, lost, wrong, convergedMs, kept } = report;
  const kinds = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1));
  const agreed = convergedMs === null ? "never" : `${(convergedMs / 1000).toFixed(1)} s after the last fault`;
  const lines = [
    `seed ${seed}, ${minutes} min of faults: ${kinds.map(([kind, count]) => `${count} ${kind}`).join(", ")}`,
    ...Object.entries(leftOut).map(([kind, why]) => `LEFT OUT: ${kind}: ${why}`),
    `  messages    ${report.sent} sent, ${report.acked} acknowledged`,
    `  wanted      ${report.wished} asked for, ${report.set} confirmed`,
    `  logs        ${report.events} events`,
    `  agreement   ${agreed}`,
    ...Object.entries(hosts).map(([name, figures]) => `  ${name.padEnd(11)} ${describeHost(figures)}`),
    ...listed("LOST", lost),
    ...listed("WRONG", wrong),
  ];
  if (kept !== null) lines.push(`  kept for a post-mortem: ${kept}`);
  lines.push(
    report.ok
      ? "ok: nothing acknowledged is lost, nothing is there twice, both sides agree"
      : `FAILED: ${lost.length} lost, ${wrong.length} wrong; again with: npm run crash -- --minutes ${minutes} --seed ${seed}`,
  );
  return `${lines.join("\n")}\n`;
}

function describeHost({ starts, readyMs, residentMb, failures }: HostFigures): string {
  const sorted = [...readyMs].sort((a, b) => a - b);
  const [middle, last] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  const ready =
    middle === undefined ? "" : `, ready within ${middle} ms (median), ${last ?? middle} ms (most)`;
  const resident = residentMb === null ? "" : `, at most ${residentMb} MB resident`;
  const gaveUp = Object.entries(failures).map(([code, count]) => `, gave up ${count} times with ${code}`);
  return `${starts} starts${ready}${resident}${gaveUp.join("")}`;
}

function listed(word: string, all: readonly string[]): string[] {
  const shown = all.slice(0, shownMax).map((line) => `${word} ${line}`);
  return all.length > shownMax ? [...shown, `${word} … and ${all.length - shownMax} more`] : shown;
}
