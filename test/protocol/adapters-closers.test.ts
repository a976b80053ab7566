import t from "tap";
import { Closers } from "../../protocol/adapters/closers.ts";

t.test("closes all, the last first, and once", async (t) => {
  const closed: string[] = [];
  const closers = new Closers();
  for (const name of ["store", "log", "api"]) closers.add(async () => closed.push(name));
  await closers.close();
  await closers.close();
  t.same(closed, ["api", "log", "store"]);
});

t.test("what fails to close keeps nothing else open, and is told", async (t) => {
  const closed: string[] = [];
  const closers = new Closers();
  closers.add(async () => closed.push("store"));
  closers.add(() => Promise.reject(new Error("the log")));
  closers.add(() => Promise.reject(new Error("the api")));
  await t.rejects(closers.close(), { message: "the api" });
  t.same(closed, ["store"]);
});
