// Who the guest's user is.
import { expect, test } from "bun:test";
import { planUser } from "../../src/core/plan-create.ts";

const ada = { userName: "ada", uid: 1234, gid: 1234 };
const root = { userName: "root", uid: 0, gid: 0 };

test("the guest's user has the name and uid of the host's, and is root for root", () => {
  expect(planUser(ada)).toMatchObject({ name: "ada", uid: 1234, gid: 1234, home: "/home/ada" });
  expect(planUser(root)).toMatchObject({ name: "root", uid: 0, gid: 0, home: "/root" });
  expect(planUser({ ...ada, userName: "ADA\\domain" })).toMatchObject({ name: "root", uid: 0 });
});

test("a user that is asked for by name is never another uid 0, and root never another uid", () => {
  expect(planUser(root, "dev")).toMatchObject({ name: "dev", uid: 1000, gid: 1000, home: "/home/dev" });
  expect(planUser(ada, "dev")).toMatchObject({ name: "dev", uid: 1234, home: "/home/dev" });
  expect(planUser(ada, "root")).toMatchObject({ name: "root", uid: 0, gid: 0, home: "/root" });
});
