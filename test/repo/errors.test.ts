import { readFileSync } from "node:fs";
import t from "tap";

import { errorCodes } from "../../core/errors.ts";
import { root } from "./tree.ts";

interface Section {
  readonly code: string;
  readonly body: string;
}

function sectionsOf(markdown: string): Section[] {
  const [, ...sections] = markdown.split(/^## /m);
  return sections.map((section) => {
    const end = section.indexOf("\n");
    return { code: section.slice(0, end).trim(), body: section.slice(end).trim() };
  });
}

const sections = sectionsOf(readFileSync(`${root}docs/errors.md`, "utf8"));

t.test("docs/errors.md explains every code of core/errors.ts, once, and no other", async (t) => {
  const explained = sections.map(({ code }) => code).toSorted();
  t.same(explained, Object.keys(errorCodes).toSorted());
});

t.test("each explanation says what it means, then what to do", async (t) => {
  for (const { code, body } of sections) {
    const [meaning, remedy] = body.split("**What to do.**").map((part) => part.trim());
    t.ok(meaning, `${code} has a meaning`);
    t.ok(remedy, `${code} has a paragraph that begins with "**What to do.**"`);
  }
});
