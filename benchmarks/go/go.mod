module cqrsbench

go 1.19
