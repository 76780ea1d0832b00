// `vm start --plan`: what a start would do, without doing it.
import { EXIT } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import { type Paint, paintFor } from "./paint.ts";
import { printJson } from "./run-method.ts";
import { selectRefs } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";
import { renderFacts } from "./table.ts";

const spellArgument = (argument: string): string =>
  /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;

export const renderPlan = (plan: StartPlan, paint: Paint): string => {
  const { network, paths, timeouts } = plan;
  const facts = renderFacts(
    [
      ["VM", `${paint.strong(plan.vm.name)} (${plan.vm.id})`],
      ["Run by", `${plan.vmm} (${plan.accelerator})`],
      ["Network", `${network.mode}: ${network.tap} on ${network.bridge} (${network.subnet})`],
      ["Address", `${network.address}, ${network.mac}, by way of ${network.gateway}`],
      ["Disk", paths.disk],
      ["Document", paths.document],
      ["Console", paths.console],
      ["Sockets", paths.runtimeDir],
      ["Ready within", `${timeouts.readyMs / 1000} s`],
    ],
    paint,
  );
  return `${facts}${paint.faint("Command")}\n  ${plan.launch.argv.map(spellArgument).join(" ")}\n`;
};

export const runPlan = async (session: Session, invocation: Invocation): Promise<number> => {
  const refs = await selectRefs(session, invocation);
  const plans = await Promise.all(refs.map((vm) => session.client.call("vm.plan", { vm })));
  if (invocation.isJson) printJson(session, invocation.refs.length === 1 ? plans[0] : plans);
  else session.terminal.out(plans.map((plan) => renderPlan(plan, paintFor(session.terminal.hasOutColor))).join("\n"));
  return EXIT.ok;
};
