# The guest's end of the network benchmark: does what the other end says, once for each connection. usage: listen PORT | connect ADDRESS PORT
use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my $CHUNK = 262144;
my $block = "x" x $CHUNK;

sub serve {
    my ($other) = @_;
    setsockopt($other, IPPROTO_TCP, TCP_NODELAY, pack("i", 1));
    my $line = "";
    while ($line !~ /\n/) { sysread($other, $line, 1, length $line) or return }
    my ($verb, $count) = $line =~ /^(\w+) (\d+)/ or return;
    if ($verb eq "send") {
        while ($count > 0) {
            my $sent = syswrite($other, $block, $count < $CHUNK ? $count : $CHUNK) or return;
            $count -= $sent;
        }
    } elsif ($verb eq "take") {
        while ($count > 0) {
            my $taken = sysread($other, my $bytes, $CHUNK) or return;
            $count -= $taken;
        }
        syswrite($other, ".");
    } else {
        while ($count-- > 0) {
            sysread($other, my $byte, 1) or return;
            syswrite($other, $byte);
        }
    }
    sysread($other, my $end, 1);
}

my ($how, @where) = @ARGV;
if ($how eq "connect") {
    serve(IO::Socket::INET->new(PeerAddr => $where[0], PeerPort => $where[1], Timeout => 60) || die "connect: $@");
    exit;
}
my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => "0.0.0.0", LocalPort => $where[0], ReuseAddr => 1) or die "listen: $@";
while (1) {
    my $other = $listener->accept or next;
    serve($other);
    close $other;
}
