# SPDX-License-Identifier: MIT
#
# weft-gdb.py - gdb commands for weft's tasks, in live processes and in core files.
#
#   info weft-tasks [TEXT]      every task (whose line contains TEXT): id, function, name, state, what it waits for, its runtime, where it was started;
#                               without TEXT a line for each runtime comes first, as in a dump
#   weft-task N COMMAND...      runs a gdb command as if task N were selected: bt, bt full, frame 3, up, print x ...
#   weft-task all COMMAND...    the same for every task that has a stack
#
# `info tasks` and `task` are the same, in place of gdb's commands for Ada's tasks.
#
# How: a task that does not run has its registers in its record (pc, sp, fp; the others its compiler-made frames restore).  An unwinder makes gdb
# believe that the selected thread's frame 0 was called from there, so everything gdb can do with a caller's frame works, and nothing in the
# process is changed: that is why it works on core files too.  The frame numbers start above that frame 0, which is not shown.  A task that runs is shown
# by selecting its worker's thread.
#
# Needs libweft's debug information.  Loaded by itself when installed (auto-load); else: source weft-gdb.py.
import re
import time

import gdb
from gdb.unwinder import Unwinder, register_unwinder

RECORD_SIZE = 256  # core/task.h
TASK_FREE = 255  # core/runtime.h
NEW, RUNNABLE, RUNNING, PARKED, DONE = range(5)  # enum weft_task_state
HELD = 3  # ON_CPU_HELD: somebody gives back what lies below its stack pointer
FLAG_REGS, FLAG_FOREIGN, FLAG_MAIN = 1, 4, 32  # enum task_flag
WAIT_OPEN = 3  # core/waitword.h
FOREVER = (1 << 63) - 1

REGISTERS = {  # what struct context calls sp, pc, fp
    "i386:x86-64": ("rsp", "rip", "rbp"),
    "aarch64": ("sp", "pc", "x29"),
}
# gdb takes a caller's pc for a return address, and looks one byte before it; there lies the jump into another task, of which the CFI says, rightly,
# that it has no caller. So we give it an address inside the instruction at pc.
INTO_INSTRUCTION = {"i386:x86-64": 1, "aarch64": 4}


def value(expression):
    """The value of an expression of weft's own, or a clear error."""
    try:
        return gdb.parse_and_eval(expression)
    except gdb.error as e:
        raise gdb.GdbError("weft: %s (is libweft loaded, with its debug information?)" % e)


def static(name, file):
    """A static variable of one of weft's files."""
    return value("'%s'::%s" % (file, name))


def number(v):
    return int(v.cast(gdb.lookup_type("unsigned long"))) if v.type.strip_typedefs().code == gdb.TYPE_CODE_PTR else int(v)


def text(pointer):
    return pointer.string(errors="replace") if number(pointer) else ""


class Task:
    """One record in use."""

    def __init__(self, rec):
        self.rec = rec
        self.address = number(rec.address)
        self.id = int(rec["id"])
        self.state = int(rec["state"])
        self.flags = int(rec["flags"])
        self.foreign = bool(self.flags & FLAG_FOREIGN)

    def parked(self):
        return self.state == PARKED or (self.foreign and (int(self.rec["wait"]) & 255) >= WAIT_OPEN)

    def label(self):
        if self.foreign:
            return "(a thread)"
        site = self.rec["site"]
        if number(site):
            fn = text(site["fn"])
        else:
            block = gdb.block_for_pc(number(self.rec["fn"]))
            fn = block.function.print_name if block and block.function else "%#x" % number(self.rec["fn"])
        if number(self.rec["name"]):
            fn += ' "%s"' % text(self.rec["name"])
        return fn + (" (main)" if self.flags & (FLAG_REGS | FLAG_MAIN) == FLAG_MAIN else "")

    def what(self, workers):
        if self.parked():
            reason = str(self.rec["reason"].cast(gdb.lookup_type("enum task_reason")))
            s = "parked, " + reason.replace("REASON_", "").replace("_", " ").lower()
            since = int(self.rec["parked_at"]) if not self.foreign else 0
            if since > 0 and live():
                s += ", for %.1f s" % max(0, (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - since) / 1e9)
            if int(self.rec["deadline"]) != FOREVER:
                s += ", with a deadline"
            return s
        if self.foreign:
            return "not in weft"
        if self.state == RUNNING and self.address in workers:
            return "running on " + seat(workers[self.address])
        return {NEW: "new", RUNNABLE: "runnable", RUNNING: "running", DONE: "ended"}.get(self.state, "state %d" % self.state)

    def where(self):
        """Of which runtime; nothing is said of the default one's."""
        return ", in runtime %d" % int(self.rec["home"]) if not self.foreign and int(self.rec["home"]) else ""

    def site(self):
        site = self.rec["site"]
        return "%s:%d" % (text(site["file"]), int(site["line"])) if not self.foreign and number(site) else ""

    def registers(self, arch):
        """sp, pc, fp of a task at rest, or None."""
        ctx = self.rec["ctx"]
        if self.foreign or self.state in (NEW, DONE) or int(self.rec["on_cpu"]) not in (0, HELD) or not number(ctx["sp"]):
            return None
        return number(ctx["sp"]), number(ctx["pc"]) + INTO_INSTRUCTION[arch], number(ctx["fp"])


def live():
    """A process on this machine, whose clock is ours; not a core file."""
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return connection is not None and connection.type == "native"


def tasks():
    """Every record in use, by id."""
    leaves = static("leaves", "recslab.c")
    slabs = int(static("nslabs", "recslab.c"))
    record = gdb.lookup_type("struct weft_task")
    chunk = gdb.lookup_type("struct leaf").fields()[0].type.range()[1] + 1
    found = []
    for i in range(slabs):
        slab = leaves[i // chunk].dereference()["slab"][i % chunk]
        handed = int(slab.dereference()["handed"])
        base = number(slab)
        for place in range(1, handed + 1):
            rec = gdb.Value(base + place * RECORD_SIZE).cast(record.pointer()).dereference()
            if int(rec["state"]) != TASK_FREE and int(rec["id"]) != 0:
                found.append(Task(rec))
    return sorted(found, key=lambda t: t.id)


def seat(worker):
    """A worker as dumps name it."""
    n, rt = int(worker["id"]) + 1, worker["rt"]
    return "worker %d%s" % (n, " (retired)" if n > int(rt["active"]) else " (spare)" if n > int(rt["wish"]) else "")


def runtimes():
    """The runtimes that are up, each with its workers; also one that comes up or goes down, as far as it has any."""
    rts = value("weft__rts")
    for i in range(rts.type.range()[1] + 1):
        rt = rts[i]
        if not int(rt["run"]) or not number(rt["workers"]):
            continue
        seats = [rt["workers"][j] for j in range(number(rt["n"]))]
        try:
            for w in seats:
                w.fetch_lazy()
        except gdb.MemoryError:  # stopped while they are unmapped
            continue
        yield rt, seats


def workers():
    """The workers that stand on a task: record address -> worker."""
    return {number(w["cur"]): w for _, seats in runtimes() for w in seats if number(w["cur"])}


def headings(found):
    """A line for each runtime."""
    for rt, seats in runtimes():
        home, wish, spares = int(rt["home"]), int(rt["wish"]), int(rt["spares"])
        n = sum(1 for t in found if not t.foreign and t.state != DONE and int(t.rec["home"]) == home)
        line = "weft: %s%d task%s on %d worker%s" % ("runtime %d: " % home if home else "", n, "" if n == 1 else "s", wish, "" if wish == 1 else "s")
        if spares:
            line += " and %d spare" % spares
        if len(seats) > int(rt["active"]):
            line += ", %d retired" % (len(seats) - int(rt["active"]))
        yield line


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class ParkedUnwinder(Unwinder):
    """While registers is set: says that the frame whose stack pointer is `under` was called from the task at rest."""

    def __init__(self):
        super().__init__("weft task")
        self.registers = None
        self.under = None

    def __call__(self, pending):
        if self.registers is None:
            return None
        names = REGISTERS[pending.architecture().name()]
        sp = pending.read_register(names[0])
        if int(sp) != self.under:
            return None
        # Frames must lie above those they call, so the frame in between pretends to lie right below the task's stack pointer.
        below = gdb.Value(self.registers[0] - 64).cast(sp.type)
        info = pending.create_unwind_info(FrameId(below, pending.read_register(names[1])))
        u64 = gdb.lookup_type("unsigned long")
        for name, v in zip(names, self.registers):
            info.add_saved_register(name, gdb.Value(v).cast(u64))
        return info


unwinder = ParkedUnwinder()
register_unwinder(None, unwinder, replace=True)


class as_task:
    """with as_task(t): gdb's selected frame is the task's innermost one; .level is its number."""

    def __init__(self, task, stands_on):
        self.task = task
        self.worker = stands_on.get(task.address)

    def __enter__(self):
        self.thread = gdb.selected_thread()
        if self.thread is None:
            raise gdb.GdbError("weft: no process and no core file")
        if self.worker is not None:
            return self.enter_worker()
        arch = gdb.selected_inferior().architecture().name()
        if arch not in REGISTERS:
            raise gdb.GdbError("weft: no register names for %s yet" % arch)
        regs = self.task.registers(arch)
        if regs is None:
            raise gdb.GdbError("weft: task %d has no stack of its own to show (%s)" % (self.task.id, self.task.what({})))
        self.past_main = gdb.parameter("backtrace past-main")
        gdb.newest_frame().select()
        unwinder.under = int(gdb.selected_frame().read_register(REGISTERS[arch][0]))
        unwinder.registers = regs
        gdb.invalidate_cached_frames()
        gdb.execute("set backtrace past-main on")
        frame = gdb.newest_frame()
        self.level = 0
        while frame is not None and frame.pc() != regs[1]:
            frame = frame.older()
            self.level += 1
        if frame is None:
            self.__exit__(None, None, None)
            raise gdb.GdbError("weft: gdb could not find task %d's frames" % self.task.id)
        frame.select()
        return self

    def enter_worker(self):
        """A task that runs: its worker's thread shows it."""
        tid = int(self.worker["tid"]) if any(f.name == "tid" for f in self.worker.type.fields()) else 0
        for thread in gdb.selected_inferior().threads():
            if tid and tid in thread.ptid[1:]:
                thread.switch()
                gdb.newest_frame().select()
                self.level = 0
                return self
        raise gdb.GdbError("weft: task %d runs on %s%s; look for it in 'info threads'" % (self.task.id, seat(self.worker), self.task.where()))

    def __exit__(self, *_):
        if unwinder.registers is not None:
            unwinder.registers = None
            gdb.execute("set backtrace past-main " + ("on" if self.past_main else "off"))
            gdb.invalidate_cached_frames()
        self.thread.switch()


def run_as(task, command, stands_on):
    try:
        run_command_as(task, command, stands_on)
    except gdb.error as e:
        raise gdb.GdbError(str(e))


def run_command_as(task, command, stands_on):
    with as_task(task, stands_on) as view:
        if re.match(r"(bt|backtrace|where)\b", command) and view.level:
            lines = gdb.execute(command, to_string=True).splitlines(True)
            start = re.compile(r"#%d\s" % view.level)
            at = next((i for i, line in enumerate(lines) if start.match(line)), 0)
            gdb.write("".join(lines[at:]))
        else:
            gdb.execute(command)


class InfoTasks(gdb.Command):
    """List weft's tasks: id, function, name, state, what it waits for, its runtime, where it was started.
Usage: info weft-tasks [TEXT]
With TEXT, only tasks whose line contains it; without, a line for each runtime comes first."""

    def invoke(self, arg, _tty):
        stands_on = workers()
        found = tasks()
        if not arg:
            for line in headings(found):
                gdb.write(line + "\n")
        for t in found:
            site = t.site()
            line = "%5d  %-24s  %s%s%s" % (t.id, t.label(), t.what(stands_on), t.where(), "; started at " + site if site else "")
            if not arg or arg in line:
                gdb.write(line + "\n")


class TaskCommand(gdb.Command):
    """Run a gdb command on a weft task's stack.
Usage: weft-task N|all COMMAND
For instance: weft-task 7 bt, weft-task 7 frame 3, weft-task all bt."""

    def invoke(self, arg, _tty):
        who, _, command = arg.strip().partition(" ")
        command = command.strip() or "bt"
        if not who:
            raise gdb.GdbError("weft-task: which one? (info weft-tasks lists them)")
        stands_on = workers()
        if who != "all":
            for t in tasks():
                if str(t.id) == who:
                    run_as(t, command, stands_on)
                    return
            raise gdb.GdbError("weft: no task %s" % who)
        for t in tasks():
            if t.foreign or t.state == DONE:
                continue
            gdb.write("task %d %s: %s%s\n" % (t.id, t.label(), t.what(stands_on), t.where()))
            try:
                if t.state != NEW:
                    run_as(t, command, stands_on)
            except gdb.GdbError as e:
                gdb.write("  (%s)\n" % e)
            gdb.write("\n")


for name in ("info weft-tasks", "info tasks"):
    InfoTasks(name, gdb.COMMAND_STATUS)
for name in ("weft-task", "task"):
    TaskCommand(name, gdb.COMMAND_STACK)
