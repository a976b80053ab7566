import t from "tap";
import { parseQuantity, sizeText } from "../../core/size.ts";

t.test("quantities are read as Kubernetes writes them", async (t) => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["1024", 1024],
    ["512Mi", 512 * 1024 ** 2],
    ["2Gi", 2 * 1024 ** 3],
    ["1.5Gi", 1.5 * 1024 ** 3],
    ["10k", 10_000],
    ["2G", 2e9],
    ["1T", 1e12],
    ["1e9", 1e9],
    ["0.1", 1],
    ["", undefined],
    ["Gi", undefined],
    ["-1", undefined],
    ["1 Gi", undefined],
    ["1gi", undefined],
    ["1KB", undefined],
    ["100m", undefined],
    ["0x10", undefined],
    ["1e99", undefined],
    ["99999Pi", undefined],
  ];
  for (const [text, bytes] of cases) t.equal(parseQuantity(text), bytes, JSON.stringify(text));
});

t.test("sizes are shown in the unit that leaves few digits", async (t) => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [32 * 1024 ** 2, "32 MiB"],
    [1.05 * 1024 ** 3, "1.05 GiB"],
    [123.4 * 1024 ** 3, "123 GiB"],
    [2 ** 53, "8 PiB"],
  ];
  for (const [bytes, text] of cases) t.equal(sizeText(bytes), text);
});
