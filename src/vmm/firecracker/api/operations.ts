// The calls of Firecracker's API as one table: method, path, the form of the request and of the answer.
import type { z } from "zod";
import {
  Balloon,
  BalloonStats,
  BalloonStatsUpdate,
  BalloonUpdate,
  BootSource,
  Drive,
  EntropyDevice,
  FirecrackerVersion,
  FullVmConfiguration,
  InstanceActionInfo,
  InstanceInfo,
  Logger,
  MachineConfiguration,
  Metrics,
  NetworkInterface,
  PartialDrive,
  PartialNetworkInterface,
  SerialDevice,
  SnapshotCreateParams,
  SnapshotLoadParams,
  Vm,
  Vsock,
} from "./schemas.ts";

export type Operation = {
  method: "GET" | "PUT" | "PATCH";
  /** `{name}` stands for the request's field of that name. */
  path: string;
  request: z.ZodObject | null;
  /** null: success has no body. */
  answer: z.ZodObject | null;
};

const get = <Answer extends z.ZodObject>(path: string, answer: Answer) =>
  ({ method: "GET", path, request: null, answer }) as const;
const put = <Request extends z.ZodObject>(path: string, request: Request) =>
  ({ method: "PUT", path, request, answer: null }) as const;
const patch = <Request extends z.ZodObject>(path: string, request: Request) =>
  ({ method: "PATCH", path, request, answer: null }) as const;

export const operations = {
  getInstance: get("/", InstanceInfo),
  getVersion: get("/version", FirecrackerVersion),
  getConfiguration: get("/vm/config", FullVmConfiguration),
  getMachineConfig: get("/machine-config", MachineConfiguration),
  putMachineConfig: put("/machine-config", MachineConfiguration),
  putBootSource: put("/boot-source", BootSource),
  putDrive: put("/drives/{drive_id}", Drive),
  patchDrive: patch("/drives/{drive_id}", PartialDrive),
  putNetworkInterface: put("/network-interfaces/{iface_id}", NetworkInterface),
  patchNetworkInterface: patch("/network-interfaces/{iface_id}", PartialNetworkInterface),
  putVsock: put("/vsock", Vsock),
  putEntropy: put("/entropy", EntropyDevice),
  putSerial: put("/serial", SerialDevice),
  getBalloon: get("/balloon", Balloon),
  putBalloon: put("/balloon", Balloon),
  patchBalloon: patch("/balloon", BalloonUpdate),
  getBalloonStatistics: get("/balloon/statistics", BalloonStats),
  patchBalloonStatistics: patch("/balloon/statistics", BalloonStatsUpdate),
  putLogger: put("/logger", Logger),
  putMetrics: put("/metrics", Metrics),
  putAction: put("/actions", InstanceActionInfo),
  patchVm: patch("/vm", Vm),
  createSnapshot: put("/snapshot/create", SnapshotCreateParams),
  loadSnapshot: put("/snapshot/load", SnapshotLoadParams),
} satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

type Form<Schema> = Schema extends z.ZodType ? z.infer<Schema> : undefined;
export type RequestOf<Name extends OperationName> = Form<(typeof operations)[Name]["request"]>;
export type AnswerOf<Name extends OperationName> = Form<(typeof operations)[Name]["answer"]>;
