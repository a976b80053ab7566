import t from "tap";
import { type PolicySaid, parsePolicies, policyOf } from "../../protocol/devices/conflict-policy.ts";

function said(text: string): PolicySaid {
  const policies = parsePolicies(text);
  if (typeof policies === "string") throw new Error(policies);
  return policies;
}

t.test("a policy is for all properties, or for one", async (t) => {
  t.equal(policyOf([said("edge")], "temp"), "edge");
  const both = said("cloud  temp=edge\n a:b=latest");
  t.equal(policyOf([both], "temp"), "edge");
  t.equal(policyOf([both], "mode"), "cloud");
  t.equal(policyOf([said("temp=edge")], "mode"), "latest", "where nothing is said");
  t.equal(policyOf([], "temp"), "latest");
});

t.test("what a device says goes before what its model says", async (t) => {
  const model = said("cloud temp=edge");
  t.equal(policyOf([said("latest"), model], "temp"), "latest");
  t.equal(policyOf([said("mode=edge"), model], "temp"), "edge", "where it says something of that property");
  t.equal(policyOf([said("mode=edge"), model], "level"), "cloud");
});

t.test("what is no policy is refused, with the reason", async (t) => {
  const reasons: Record<string, RegExp> = {
    newest: /"newest" is no policy: write latest, cloud, edge, or PROPERTY=POLICY/,
    "temp=": /"" is no policy/,
    "temp=Cloud": /"Cloud" is no policy/,
    "cloud edge": /two policies for all/,
    "temp=edge temp=cloud": /two policies for temp/,
    "te%mp=edge": /"te%mp" is not a property name/,
    "=edge": /"" is not a property name/,
    "  ": /says no policy/,
  };
  for (const [text, reason] of Object.entries(reasons)) t.match(parsePolicies(text), reason, text);
});
