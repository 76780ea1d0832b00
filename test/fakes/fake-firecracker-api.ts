// The rules of the fake Firecracker's API: which call is allowed when, which fields it takes, and what it answers.
import { existsSync } from "node:fs";

type Json = Record<string, unknown>;
type Kind = "string" | "number" | "boolean" | "object" | "array";
type Form = { required: Record<string, Kind>; optional: Record<string, Kind> };

export type FakeAnswer = { status: number; body: unknown };
export type FakeEvents = {
  /** Errors are thrown as text, as Firecracker words them. */
  bindVsock: (path: string) => void;
  start: () => void;
  ctrlAltDel: () => void;
};

const drive: Form = {
  required: { drive_id: "string", is_root_device: "boolean" },
  optional: {
    cache_type: "string",
    is_read_only: "boolean",
    path_on_host: "string",
    partuuid: "string",
    io_engine: "string",
    rate_limiter: "object",
    socket: "string",
  },
};
const network: Form = {
  required: { iface_id: "string", host_dev_name: "string" },
  optional: { guest_mac: "string", mtu: "number", rx_rate_limiter: "object", tx_rate_limiter: "object" },
};
/** As serde reads them: unknown fields are refused. */
const forms: Readonly<Record<string, Form>> = {
  "machine-config": {
    required: { vcpu_count: "number", mem_size_mib: "number" },
    optional: { smt: "boolean", track_dirty_pages: "boolean", cpu_template: "string", huge_pages: "string" },
  },
  "boot-source": {
    required: { kernel_image_path: "string" },
    optional: { initrd_path: "string", boot_args: "string" },
  },
  drives: drive,
  "network-interfaces": network,
  vsock: { required: { guest_cid: "number", uds_path: "string" }, optional: { vsock_id: "string" } },
  entropy: { required: {}, optional: { rate_limiter: "object" } },
  actions: { required: { action_type: "string" }, optional: {} },
  vm: { required: { state: "string" }, optional: {} },
};

class Refusal extends Error {}
const POST_BOOT = "The requested operation is not supported after starting the microVM.";
const PRE_BOOT = "The requested operation is not supported before starting the microVM.";

const kindOf = (value: unknown): Kind => (Array.isArray(value) ? "array" : (typeof value as Kind));

const checkForm = (form: Form, body: Json): void => {
  const known = { ...form.required, ...form.optional };
  const refuse = (detail: string) =>
    new Refusal(`An error occurred when deserializing the json body of a request: ${detail}.`);
  for (const [key, value] of Object.entries(body)) {
    if (!(key in known)) throw refuse(`unknown field \`${key}\`, expected one of ${Object.keys(known).join(", ")}`);
    if (kindOf(value) !== known[key]) throw refuse(`invalid type: ${kindOf(value)}, expected ${known[key]}`);
  }
  for (const key of Object.keys(form.required)) if (!(key in body)) throw refuse(`missing field \`${key}\``);
};

const mustExist = (path: unknown, words: string): void => {
  if (!existsSync(String(path))) throw new Refusal(`${words}: No such file or directory (os error 2) ${path}`);
};

/** One Firecracker process: its machine, and its answers. */
export const createFakeApi = (options: { id: string; events: FakeEvents }) => {
  const { id, events } = options;
  const drives: Json[] = [];
  const networks: Json[] = [];
  const machine: { config: Json; source: Json | null; vsock: Json | null; entropy: Json | null } = {
    config: { vcpu_count: 1, mem_size_mib: 128, smt: false, track_dirty_pages: false, huge_pages: "None" },
    source: null,
    vsock: null,
    entropy: null,
  };
  let state = "Not started";

  const upsert = (list: Json[], key: string, body: Json): void => {
    const at = list.findIndex((item) => item[key] === body[key]);
    if (at >= 0) list[at] = body;
    else if (body.is_root_device === true) list.unshift(body);
    else list.push(body);
  };

  /** What each part of a machine does when it is set; the same for a call and for a configuration file. */
  const setters: Readonly<Record<string, (body: Json) => void>> = {
    "machine-config": (body) => {
      const vcpus = Number(body.vcpu_count);
      if (vcpus < 1 || vcpus > 32) {
        throw new Refusal("Machine config error: The number of vCPUs must be greater than 0, less than 32.");
      }
      if (Number(body.mem_size_mib) < 1) throw new Refusal("Machine config error: The memory size (MiB) is 0.");
      machine.config = { ...machine.config, ...body };
    },
    "boot-source": (body) => {
      mustExist(body.kernel_image_path, "Boot source error: The kernel file cannot be opened");
      if (body.initrd_path !== undefined)
        mustExist(body.initrd_path, "Boot source error: The initrd file cannot be opened");
      if (String(body.boot_args ?? "").length >= 2048) {
        throw new Refusal("Boot source error: The kernel command line is invalid: String is too large.");
      }
      machine.source = body;
    },
    drives: (body) => {
      mustExist(body.path_on_host, "Drive config error: Unable to create the virtio block device: backing file");
      upsert(drives, "drive_id", body);
    },
    "network-interfaces": (body) => upsert(networks, "iface_id", body),
    vsock: (body) => {
      if (Number(body.guest_cid) < 3) throw new Refusal("Vsock config error: CID");
      events.bindVsock(String(body.uds_path));
      machine.vsock = body;
    },
    entropy: (body) => {
      machine.entropy = body;
    },
  };

  const start = (): void => {
    if (!machine.source) {
      throw new Refusal("Start microvm error: Cannot start microvm without kernel configuration.");
    }
    state = "Running";
    events.start();
  };

  const act = ({ action_type: action }: Json): void => {
    if (action === "InstanceStart") {
      if (state !== "Not started") throw new Refusal(POST_BOOT);
      start();
      return;
    }
    if (state === "Not started") throw new Refusal(PRE_BOOT);
    if (action === "SendCtrlAltDel") events.ctrlAltDel();
  };

  const put = (name: string, item: string | undefined, body: Json): void => {
    const form = forms[name];
    if (!form) throw new Refusal(`Invalid request method and/or path: PUT ${name}.`);
    checkForm(form, body);
    if (name === "actions") {
      act(body);
      return;
    }
    const key = name === "drives" ? "drive_id" : name === "network-interfaces" ? "iface_id" : null;
    if (key && !/^[A-Za-z0-9_]+$/.test(item ?? "")) {
      throw new Refusal("API Resource IDs can only contain alphanumeric characters and underscores.");
    }
    if (key && item !== body[key]) {
      throw new Refusal(`The id from the path [${item}] does not match the id from the body!`);
    }
    // After the start these two are for devices that are plugged in while it runs.
    if (state !== "Not started") throw new Refusal(key ? "PCI is not enabled" : POST_BOOT);
    setters[name]?.(body);
  };

  const patch = (name: string, body: Json): void => {
    if (name !== "vm") throw new Refusal(`Invalid request method and/or path: PATCH ${name}.`);
    checkForm(forms.vm ?? { required: {}, optional: {} }, body);
    if (state === "Not started") throw new Refusal(PRE_BOOT);
    state = body.state === "Paused" ? "Paused" : "Running";
  };

  const withNulls = (form: Form, body: Json): Json => ({
    ...Object.fromEntries(Object.keys(form.optional).map((key) => [key, null])),
    ...body,
  });
  const configuration = () => ({
    balloon: null,
    drives: drives.map((body) => withNulls(drive, body)),
    "boot-source": machine.source ?? { kernel_image_path: "", initrd_path: null, boot_args: null },
    "cpu-config": null,
    logger: null,
    "machine-config": machine.config,
    metrics: null,
    "mmds-config": null,
    "network-interfaces": networks.map((body) => withNulls(network, body)),
    vsock: machine.vsock,
    entropy: machine.entropy && { rate_limiter: null, ...machine.entropy },
    pmem: [],
    "memory-hotplug": null,
  });

  const get = (path: string): unknown => {
    if (path === "/") return { id, state, vmm_version: "1.17.0", app_name: "Firecracker" };
    if (path === "/version") return { firecracker_version: "1.17.0" };
    if (path === "/vm/config") return configuration();
    if (path === "/machine-config") return machine.config;
    throw new Refusal(`Invalid request method and/or path: GET ${path.slice(1)}.`);
  };

  const answer = (work: () => unknown): FakeAnswer => {
    try {
      const body = work();
      return body === undefined ? { status: 204, body: null } : { status: 200, body };
    } catch (error) {
      if (error instanceof Refusal || typeof error === "string") {
        return { status: 400, body: { fault_message: error instanceof Refusal ? error.message : error } };
      }
      throw error;
    }
  };

  return {
    handle: (request: { method: string; path: string; body: string }): FakeAnswer => {
      const [, name = "", item] = request.path.split("/");
      if (request.method === "GET") return answer(() => get(request.path));
      return answer(() => {
        if (request.body === "") throw new Refusal(`Empty ${request.method} request.`);
        const body = JSON.parse(request.body) as Json;
        if (request.method === "PUT") return put(name, item, body);
        return patch(name, body);
      });
    },
    /** As `--config-file`: the first fault, or null when the machine runs. */
    load: (text: string): string | null => {
      const file = JSON.parse(text) as Record<string, Json | Json[]>;
      const { status, body } = answer(() => {
        for (const name of Object.keys(setters)) {
          for (const part of [file[name] ?? []].flat()) {
            checkForm(forms[name] ?? { required: {}, optional: {} }, part);
            setters[name]?.(part);
          }
        }
        start();
      });
      return status === 204 ? null : String((body as Json).fault_message);
    },
    commandLine: () => String(machine.source?.boot_args ?? ""),
  };
};
