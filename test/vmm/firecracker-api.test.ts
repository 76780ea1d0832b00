// The API client by itself: what it sends, what it believes, and what it says of Firecrackers that refuse or misbehave.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type FirecrackerApi, renderCall } from "../../src/vmm/firecracker/api/client.ts";
import { connectHttp, parseAnswer } from "../../src/vmm/firecracker/api/connection.ts";
import { FirecrackerApiError } from "../../src/vmm/firecracker/api/error.ts";
import { FAKE_KERNEL } from "../fakes/fake-firecracker-driver.ts";
import { errorOf, openFirecrackerBench } from "./firecracker-bench.ts";

let directory: string;
let bench: ReturnType<typeof openFirecrackerBench>;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bgr-api-"));
  bench = openFirecrackerBench(directory);
});
afterEach(async () => {
  await bench.close();
  await rm(directory, { recursive: true, force: true });
});

const open = async (...fakes: string[]): Promise<FirecrackerApi> => (await bench.start({ fakes })).api();

/** Kind, status and detail of the error; anything else is thrown on. */
const faultOf = async (work: Promise<unknown>) => {
  const error = await errorOf(work);
  if (!(error instanceof FirecrackerApiError)) throw error ?? new Error("it succeeded");
  return { kind: error.kind, call: error.call, status: error.status, detail: error.detail };
};

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("an answer", () => {
  test("is found when it is whole, and leaves what follows it", () => {
    const first = "HTTP/1.1 200 \r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    const second = "HTTP/1.1 204 \r\nServer: Firecracker API\r\n\r\n";
    for (let cut = 0; cut < first.length; cut += 1) expect(parseAnswer(bytes(first.slice(0, cut)))).toBeNull();
    expect(parseAnswer(bytes(first + second))).toEqual({ answer: { status: 200, body: "{}" }, rest: bytes(second) });
    expect(parseAnswer(bytes(second))).toEqual({ answer: { status: 204, body: "" }, rest: bytes("") });
  });

  test("that is no HTTP, or has no end, is told from one that is not there yet", () => {
    expect(parseAnswer(bytes("SSH-2.0"))).toMatchObject({ problem: expect.stringContaining("does not speak HTTP") });
    expect(parseAnswer(bytes("HTTP/1.1 hello\r\n\r\n"))).toMatchObject({ problem: expect.any(String) });
    expect(parseAnswer(bytes(`HTTP/1.1 200 \r\nX: ${"x".repeat(300_000)}`))).toMatchObject({
      problem: expect.stringContaining("without end"),
    });
    expect(parseAnswer(bytes("HTTP/1.1 200 \r\nContent-Length: 999999999\r\n\r\n"))).toMatchObject({
      problem: expect.stringContaining("999999999"),
    });
  });

  test("of any bytes is parsed without a throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, isHttp) => {
        const parsed = parseAnswer(Buffer.concat([bytes(isHttp ? "HTTP/1.1 200 \r\n" : ""), noise]));
        return parsed === null || "problem" in parsed || parsed.answer.status >= 0;
      }),
    );
  });
});

describe("a request", () => {
  test("has its id in the path, and nothing that was not asked for in its body", () => {
    const body = { drive_id: "root", is_root_device: true, path_on_host: "/d" };
    expect(renderCall({ operation: "putDrive", body })).toEqual({
      method: "PUT",
      path: "/drives/root",
      body: JSON.stringify(body),
    });
  });

  test("of another form is refused before it is sent", async () => {
    const api = await open();
    const wrong = [
      { operation: "putMachineConfig", body: { vcpu_count: 0, mem_size_mib: 128 } },
      { operation: "putMachineConfig", body: { vcpu_count: 1, mem_size_mib: 128, colour: "red" } },
      { operation: "putDrive", body: { drive_id: "a/b", is_root_device: true } },
      { operation: "putVsock", body: { guest_cid: 2, uds_path: "/x" } },
    ] as const;
    for (const call of wrong) expect(await faultOf(api.call(call as never))).toMatchObject({ kind: "invalid" });
    // Nothing of it has reached Firecracker.
    expect((await api.call({ operation: "getConfiguration" })).vsock).toBeUndefined();
    api.close();
  });

  test("goes over a path that fits, and a longer one is refused", async () => {
    expect(await faultOf(connectHttp(`/${"x".repeat(107)}`))).toMatchObject({ kind: "invalid" });
    expect(await errorOf(connectHttp(`/${"x".repeat(106)}`))).toMatchObject({ code: "ENOENT" });
  });
});

describe("the API of a Firecracker that behaves", () => {
  test("takes a whole machine call by call, tells it back, and refuses to change it once it runs", async () => {
    const api = await open();
    const { call } = api;
    expect(await call({ operation: "getInstance" })).toMatchObject({ id: "0123456789ab", state: "Not started" });
    expect(await call({ operation: "getVersion" })).toEqual({ firecracker_version: "1.17.0" });
    await call({ operation: "putMachineConfig", body: { vcpu_count: 2, mem_size_mib: 256 } });
    await call({ operation: "putBootSource", body: { kernel_image_path: FAKE_KERNEL, boot_args: "quiet" } });
    await call({
      operation: "putNetworkInterface",
      body: { iface_id: "net0", host_dev_name: "tap0", guest_mac: "02:00:00:00:00:01" },
    });
    await call({ operation: "putAction", body: { action_type: "InstanceStart" } });
    expect(await call({ operation: "getInstance" })).toMatchObject({ state: "Running" });
    const configuration = await call({ operation: "getConfiguration" });
    expect(configuration["machine-config"]).toMatchObject({ vcpu_count: 2, mem_size_mib: 256 });
    // What Firecracker writes as null is left out.
    expect(configuration["network-interfaces"]).toEqual([
      { iface_id: "net0", host_dev_name: "tap0", guest_mac: "02:00:00:00:00:01" },
    ]);
    expect(configuration.balloon).toBeUndefined();
    expect(await faultOf(call({ operation: "putMachineConfig", body: { vcpu_count: 1, mem_size_mib: 128 } }))).toEqual({
      kind: "refused",
      call: "PUT /machine-config",
      status: 400,
      detail: "The requested operation is not supported after starting the microVM.",
    });
    await call({ operation: "patchVm", body: { state: "Paused" } });
    expect(await call({ operation: "getInstance" })).toMatchObject({ state: "Paused" });
    api.close();
  });

  test("refuses before the start what is for a running machine, in its own words", async () => {
    const api = await open();
    expect(await faultOf(api.call({ operation: "patchVm", body: { state: "Paused" } }))).toMatchObject({
      status: 400,
      detail: "The requested operation is not supported before starting the microVM.",
    });
    const missing = { operation: "putBootSource", body: { kernel_image_path: "/nonexistent" } } as const;
    expect((await faultOf(api.call(missing))).detail).toContain("The kernel file cannot be opened");
    api.close();
  });

  test("answers calls that are made at once in their order", async () => {
    const api = await open();
    const answers = await Promise.all([
      api.call({ operation: "getInstance" }),
      api.call({ operation: "getVersion" }),
      api.call({ operation: "getInstance" }),
    ]);
    expect(answers.map((answer) => Object.keys(answer)[0])).toEqual(["id", "firecracker_version", "id"]);
    api.close();
  });
});

describe("the API of a Firecracker that misbehaves", () => {
  test("fails what is under way when it ends, and what is asked afterwards", async () => {
    const { child, api: connect } = await bench.start({ fakes: ["mute-1"] });
    const api = await connect();
    const asked = faultOf(api.call({ operation: "putEntropy", body: {} }));
    child.kill("SIGKILL");
    expect(await asked).toMatchObject({ kind: "lost", call: "PUT /entropy" });
    await api.closed;
    expect(await faultOf(api.call({ operation: "getInstance" }))).toMatchObject({ kind: "lost" });
  });

  test("is waited for as long as the caller has patience, and its late answer belongs to nobody else", async () => {
    const api = await open("mute-1");
    const reason = new RangeError("enough");
    const controller = new AbortController();
    const asked = errorOf(api.call({ operation: "putEntropy", body: {}, signal: controller.signal }));
    controller.abort(reason);
    expect(await asked).toBe(reason);
    api.close();
    await api.closed;
  });
});
